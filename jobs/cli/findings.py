"""What `doctor` examines: each function looks at one thing and yields findings; none of them raises."""

import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from jobs.cli.disk_findings import examine_disks
from jobs.cli.finding import Finding
from jobs.cli.ledger_findings import examine_ledger
from jobs.errors import ImagemillError
from jobs.ledger import health
from jobs.ledger.engine import Ledger
from jobs.settings import Settings

_CONNECT_S = 3.0
_BROKER_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "pyamqp": 5672}


def examine(settings: Settings) -> Iterator[Finding]:
    yield _python()
    yield from examine_disks(settings)
    yield from examine_ledger(settings)
    yield _broker(settings)
    yield from _endpoint(settings)


def worker_here(settings: Settings) -> Finding:
    """By the age of the heartbeat, not a ping through the broker: a worker that is deaf answers pings."""
    host = socket.gethostname()
    try:
        with closing(Ledger(settings.ledger_url)) as ledger, ledger.read() as tx:
            live = health.live_workers_of(tx, host)
    except ImagemillError as error:
        return Finding("worker", "bad", str(error))
    if not live:
        return Finding(
            "worker", "bad", f"no worker of {host} has a fresh heartbeat: start one with `imagemill work`"
        )
    return Finding("worker", "ok", f"{live} live on {host}")


def _python() -> Finding:
    told = f"{platform.python_version()} at {sys.executable}"
    return Finding("Python", "ok" if sys.version_info >= (3, 11) else "bad", told)


def _broker(settings: Settings) -> Finding:
    if settings.broker_url is None:
        return Finding("broker", "ok", "none set: `imagemill run` needs none")
    parts = urlsplit(settings.broker_url.get_secret_value())
    port = parts.port or _BROKER_PORTS.get(parts.scheme)
    if not parts.hostname or port is None:
        return Finding("broker", "look", f"{parts.scheme}: cannot be tried from here")
    place = f"{parts.hostname}:{port}"
    try:
        socket.create_connection((parts.hostname, port), _CONNECT_S).close()
    except OSError as error:
        return Finding("broker", "bad", f"{place}: {error}; workers poll the database meanwhile")
    return Finding("broker", "ok", f"{place} accepts connections; it only wakes workers, and may be wiped")


def _endpoint(settings: Settings) -> Iterator[Finding]:
    url = settings.endpoint_url
    if url.endswith("/v1"):
        yield Finding("endpoint", "ok", url)
    else:
        yield Finding("endpoint", "look", f"{url} does not end in /v1: calls go to {url}/images/generations")
    if settings.api_key is None:
        yield Finding("API key", "bad", "none set: put it into IMAGEMILL_API_KEY or imagemill.toml")
    else:
        yield Finding("API key", "ok", "set")
