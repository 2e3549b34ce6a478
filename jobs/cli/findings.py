"""What `doctor` examines: each function looks at one thing and yields findings; none of them raises."""

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from jobs.catalogue.matrix import find_model
from jobs.catalogue.prices import Meter, PriceBook
from jobs.errors import ImagemillError
from jobs.ledger import health, migrate
from jobs.ledger.durability import weaknesses
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import list_pauses
from jobs.ledger.overview import Transaction
from jobs.settings import Settings

_LEAST_FREE_BYTES = 1 << 30
_CLOCKS_APART_S = 5.0
_CONNECT_S = 3.0
_BROKER_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "pyamqp": 5672}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `bad` must be put right, `look` is worth knowing."""

    what: str
    verdict: Literal["ok", "look", "bad"]
    told: str


def examine(settings: Settings) -> Iterator[Finding]:
    yield _python()
    yield from _folder(settings.data_dir.absolute())
    yield from _ledger(settings)
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


def _folder(folder: Path) -> Iterator[Finding]:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK):
        yield Finding("data folder", "bad", f"{there} is not writable; --data-dir names another one")
        return
    free = shutil.disk_usage(there).free
    told = f"{folder}, {free / 1e9:,.1f} GB free"
    if free < _LEAST_FREE_BYTES:
        yield Finding("data folder", "bad", f"{told}: make room, images and answers in flight need it")
    else:
        yield Finding("data folder", "ok", told)


def _ledger(settings: Settings) -> Iterator[Finding]:
    file = Path(settings.ledger_url.partition(":///")[2])
    if settings.ledger_url.startswith("sqlite") and not file.exists():
        yield Finding("database", "ok", f"{file} will be made by the first submit")
        return
    try:
        with closing(Ledger(settings.ledger_url)) as ledger:
            yield from _schema(ledger)
            with ledger.read() as tx:
                yield from _tables(tx, settings)
    except ImagemillError as error:
        yield Finding("database", "bad", str(error))


def _schema(ledger: Ledger) -> Iterator[Finding]:
    migrate.require_newest(ledger)
    kind = "SQLite" if ledger.is_sqlite else "PostgreSQL"
    yield Finding("database", "ok", f"{kind}, schema {migrate.newest()}")
    weak = weaknesses(ledger)
    yield Finding("durability", "bad" if weak else "ok", "; ".join(weak) or "commits survive a power cut")


def _tables(tx: Transaction, settings: Settings) -> Iterator[Finding]:
    yield _clock(tx)
    yield from _models(health.models_in_use(tx), settings)
    for pause in list_pauses(tx):
        told = f"{pause.kind}: {pause.message.rstrip('.')}: `imagemill resume`"
        yield Finding(f"endpoint paused{f' for {pause.model}' if pause.model else ''}", "bad", told)


def _clock(tx: Transaction) -> Finding:
    ahead = health.clock_ahead_s(tx, round(time.time() * 1000))
    told = f"the database's is {ahead:+.1f} s against this machine's"
    return Finding("clock", "look" if abs(ahead) > _CLOCKS_APART_S else "ok", told)


def _models(names: Sequence[str], settings: Settings) -> Iterator[Finding]:
    book, today = PriceBook.load(settings.prices), datetime.now(UTC).date()
    unpriced, retired = [], []
    for name in names:
        if not any(book.dearest(name, meter, today) for meter in Meter):
            unpriced.append(name or "(none named)")
        known = find_model(name)
        if known and known.shutdown_date:
            retired.append(f"{name} {'since' if known.retired_on(today) else 'on'} {known.shutdown_date}")
    if unpriced:
        yield Finding(
            "prices", "look", f"none for {', '.join(unpriced)}: add them with --prices; book {book.version}"
        )
    else:
        yield Finding("prices", "ok", f"book {book.version} prices every model of the ledger")
    if retired:
        yield Finding("shutdown", "look", f"the provider ends {', '.join(retired)}; gateways may serve on")


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
    return Finding("broker", "ok", f"{place} accepts connections")


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
