"""`imagemill serve`: the HTTP API and the dashboard, in one process over the ledger."""

import ipaddress
import os
import secrets
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

import click

from jobs.cli.acting import who
from jobs.cli.opening import open_ledger, read_settings
from jobs.cli.options import broker_options, ledger_options, price_options, storage_options, verb
from jobs.cli.output import say
from jobs.cli.tickets import wake_workers
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.api.service import Service
    from jobs.ledger.engine import Ledger
    from jobs.settings import Settings

_ANYWHERE = ("0.0.0.0", "::")  # compared, not bound  # noqa: S104  # nosec B104
_GRACE_S = 5
"""Open event streams would hold a stopping server for ever."""
_MOST_CONNECTIONS = 500
_MIB = 1024 * 1024
_MOST_HEAD_BYTES = 256 * 1024
"""Settings stand in the query, and a prompt template in them."""


@verb("serve", "imagemill serve", "imagemill serve --host 0.0.0.0 --public --allow-host images.example.com")
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen at")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", default=8080, show_default=True, help="0: any")
@click.option("--public", is_flag=True, help="ask everybody for a token; needed but for this machine alone")
@click.option("--allow-host", "names", multiple=True, metavar="NAME", help="host name it is reached by; repeatable")
@click.option(
    "--max-upload-mb",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=512,
    show_default=True,
    help="largest manifest, in MiB",
)
@price_options
@storage_options
@broker_options
@ledger_options
def serve(host: str, port: int, public: bool, names: tuple[str, ...], max_upload_mb: int) -> None:
    """Serve the HTTP API (/api), the OpenAI dialect (/v1) and the dashboard (/) until told to stop.

    By default only programs and people on this machine get in, without a token, as IMAGEMILL_OPERATOR or user@host.
    --public asks everybody for a token, also behind a proxy on this machine: `imagemill token create` makes one.
    TLS is the proxy's. It answers to these names only: loopback's, HOST, and each --allow-host."""
    settings = read_settings()
    with open_ledger(settings, make=True) as ledger:
        _require_safe(ledger, host, public)
        service = _service(ledger, settings, host, public, names, max_upload_mb)
        with _listen(host, port) as sock:
            say(_greeting(sock, host, public))
            _run(service, sock)


def _require_safe(ledger: "Ledger", host: str, public: bool) -> None:
    """Refuse to be open to a network: first without --public, then without a token."""
    from jobs.ledger import tokens

    if not public and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines: add --public, which asks everybody for a token, "
            "or leave --host out"
        )
    with ledger.read() as tx:
        known = tokens.is_live(tx)
    if public and not known:
        raise UsageError(
            "a public server needs a token: `imagemill token create NAME --scope admin` makes the first"
        )


def _service(
    ledger: "Ledger", settings: "Settings", host: str, public: bool, names: tuple[str, ...], max_upload_mb: int
) -> "Service":
    from jobs.api.service import LOOPBACK_NAMES, Service
    from jobs.catalogue.prices import PriceBook

    reached_by = {name.lower().strip("[]") for name in names}
    return Service(
        ledger=ledger,
        settings=settings,
        book=PriceBook.load(settings.prices),
        wake=lambda batch, jobs: wake_workers(settings, batch, jobs),
        operator=who(settings),
        public=public,
        hosts=frozenset({*LOOPBACK_NAMES, *reached_by} | ({host.lower()} - set(_ANYWHERE))),
        most_upload_bytes=max_upload_mb * _MIB,
        form_secret=_form_secret(settings),
    )


def _form_secret(settings: "Settings") -> str:
    """Kept, so that a form still works that was opened before a restart."""
    path = settings.data_dir.absolute() / "serve.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


def _listen(host: str, port: int) -> socket.socket:
    """A socket of our own, so that the port is known before the first request. Raises UsageError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4][:2], family=found[0][0])
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise UsageError(f"cannot listen at {host} port {port}: {reason}") from None


def _run(service: "Service", sock: socket.socket) -> None:
    import uvicorn

    from jobs.api.app import create_app
    from jobs.api.uploads import sweep_uploads

    sweep_uploads(service.uploads)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ended)  # uvicorn raises them once more when it has ended

    config = uvicorn.Config(
        create_app(service),
        lifespan="off",
        log_level="warning",
        access_log=False,  # paths hold ids; who did what is in the acts
        server_header=False,
        proxy_headers=False,  # an address that a stranger wrote is none
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
    )
    try:
        uvicorn.Server(config).run(sockets=[sock])
    finally:
        service.thumbnails.close()


def _ended(_number: int, _frame: FrameType | None) -> None:
    """A server that was told to stop has done what it was told."""


def _greeting(sock: socket.socket, host: str, public: bool) -> str:
    name = f"[{host}]" if ":" in host else host
    asks = "asks everybody for a token" if public else "for this machine only, without a token"
    return f"imagemill serves http://{name}:{sock.getsockname()[1]} ({asks}); Ctrl-C stops it"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
