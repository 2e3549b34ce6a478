"""A connection as its reader sees it: how much it may receive at a time, and whether it may at all.

The event loop asks a socket for up to 256 KB whether or not anybody will read them soon; a thousand answers that
come at once would be a quarter of a gigabyte.
"""

import socket
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.connector import Connection

KEEP_ALIVE_S = 4.0
"""Below the 5 s after which common servers close: a request that meets the closing ends as unknown."""
READ_AHEAD_BYTES = 16 << 10
"""Of a body that nobody reads just now; above twice that the sender is held back. Hundreds may come at once."""
LEAST_BYTES = 16 << 10
"""Received at a time while it is not the turn of the body that comes, or while none comes."""
MOST_BYTES = 256 << 10


class LineSocket(socket.socket):
    """A socket of which no more than `most_bytes` are received at a time."""

    most_bytes = LEAST_BYTES

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """See socket.recv; may return less where there is more."""
        return super().recv(min(bufsize, self.most_bytes), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """See socket.recv_into; may receive less where there is more."""
        return super().recv_into(buffer, min(nbytes or len(buffer), self.most_bytes), flags)


class Line:
    """What one body comes through, for as long as it comes: then the connection may be another call's."""

    def __init__(self, connection: Connection | None, socket: LineSocket | None) -> None:
        self._connection = connection
        self._socket = socket
        self._paused = False

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and self._connection.transport is not None

    def pause(self) -> None:
        """Receive nothing for the time being; the sender is not to blame for the silence, and no time runs out."""
        if self._connection is not None and self._connection.protocol is not None:
            self._connection.protocol.pause_reading()
            self._paused = True

    def widen(self) -> None:
        """Receive again, and much at a time."""
        if self._paused and self._connection is not None and self._connection.protocol is not None:
            self._connection.protocol.resume_reading()
        self._paused = False
        if self._is_open:
            self._receive_at_most(MOST_BYTES)

    def narrow(self) -> None:
        """Receive little at a time."""
        if self._is_open:
            self._receive_at_most(LEAST_BYTES)

    def _receive_at_most(self, most_bytes: int) -> None:
        if self._socket is not None:
            self._socket.most_bytes = most_bytes


NO_LINE = Line(None, None)


class Lines:
    """The sockets of the connectors of one event loop, found again when a body comes through their connection."""

    def __init__(self) -> None:
        self._opened = WeakValueDictionary[int, LineSocket]()

    def open(self, info: aiohttp.AddrInfoType) -> LineSocket:
        """A socket factory for aiohttp's connectors."""
        family, kind, protocol, *_ = info
        opened = LineSocket(family, kind, protocol)
        self._opened[opened.fileno()] = opened
        return opened

    def line(self, connection: Connection | None) -> Line:
        """The line of an answer that is to come, or is coming, through this connection; narrow as yet."""
        if connection is None or connection.transport is None:
            return NO_LINE
        line = Line(connection, self._opened.get(connection.transport.get_extra_info("socket").fileno()))
        line.narrow()
        return line
