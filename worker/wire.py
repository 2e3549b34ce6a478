"""How far one call got on its way to the endpoint, and our words for what went wrong there.

What is not provably never sent is unknown. The foreign errors of httpx and aiohttp are translated here, in one
table.
"""

import asyncio
import math
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
from aiohttp.connector import Connection

from jobs.states import Outcome
from worker.disk import DiskFailed, DiskFull
from worker.line import NO_LINE, Line, Lines
from worker.reply import NO_HEAD, Head
from worker.scan import DecodeError


class SentTooLate(Exception):
    """The connection came when the call might not be sent any more."""


ERROR_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (SentTooLate, "sent_too_late"),
    (DiskFull, "disk_full"),
    (DiskFailed, "disk_failed"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (aiohttp.ClientConnectorDNSError, "dns_failed"),
    (aiohttp.ClientConnectorError, "connect_failed"),
    (aiohttp.ClientHttpProxyError, "proxy_failed"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.ServerTimeoutError, "read_timeout"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientPayloadError, "body_cut"),
    (aiohttp.ClientResponseError, "not_http"),
    (aiohttp.ClientConnectionError, "connection_lost"),
    (TimeoutError, "deadline"),
    (asyncio.CancelledError, "cancelled"),
)
"""Our words for what went wrong on the way, by the cause that the transport hides in `__cause__`: it reports a
refused connection and one lost after sending as the same ConnectTimeout. First match wins."""


def boot_clock_s() -> float:
    """Seconds that also pass while the machine sleeps, or the process is stopped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Wire:
    """How far one call got."""

    send_by_s: float = math.inf
    connecting: bool = False
    sent_at: float | None = None
    head: Head = NO_HEAD
    line: Line = NO_LINE

    @property
    def never_sent(self) -> bool:
        """Provably: the connector was asked for a connection and gave none."""
        return self.connecting and self.sent_at is None


WIRE: ContextVar[Wire] = ContextVar("WIRE")


class Connector(aiohttp.TCPConnector):
    """Notes for each call when it has its connection; until then nothing of it was sent. The last look at the clock
    is here, so that a process that was stopped while it connected sends nothing that others gave up."""

    def __init__(self, lines: Lines, **options: Any) -> None:
        super().__init__(socket_factory=lines.open, **options)
        self._lines = lines

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        wire = WIRE.get()
        wire.connecting = True
        connection = await super().connect(*args, **kwargs)
        if boot_clock_s() > wire.send_by_s:
            connection.release()
            raise SentTooLate("the connection came too long after the admission")
        wire.sent_at = time.monotonic()
        wire.line = self._lines.line(connection)
        return connection


def failure(wire: Wire, error: BaseException) -> tuple[Outcome, str, str]:
    """(outcome, error kind, words) of a call that ended with this error. The words may repeat what the far end
    said."""
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) and error.__cause__ else error
    where = "before anything was sent" if wire.never_sent else "after the request was sent; it may have been paid"
    return _outcome(wire, error), _kind(cause), f"{cause or type(cause).__name__} ({where})"


def _outcome(wire: Wire, error: BaseException) -> Outcome:
    if not wire.never_sent:
        return Outcome.UNKNOWN
    stopped_by_us = isinstance(error, asyncio.CancelledError | SentTooLate) or type(error) is TimeoutError
    return Outcome.NOT_SENT if stopped_by_us else Outcome.ERRORED


def _kind(cause: BaseException) -> str:
    if isinstance(cause, DecodeError):
        return cause.kind
    return next((kind for family, kind in ERROR_KINDS if isinstance(cause, family)), "client_error")
