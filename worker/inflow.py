"""How many bytes of answers a process holds in memory, however many come at once and however large they are.

The endpoint client and the downloader share one Inflow. Whoever sends faster than the disk pool decodes is held
back through TCP: each body may hold its share of HELD_BYTES, and a sender that is silent takes nothing from the
others. All connections of a loop receive into one buffer; TLS connections have one more each.
"""

import asyncio
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

HELD_BYTES = 48 << 20
"""Of all bodies under way together, between the socket and the decoder."""
LEAST_BYTES = 16 << 10
MOST_BYTES = 256 << 10
"""Of one piece on its way to the disk pool."""

_SHARES = 4
"""Of a body: up to two pieces wait in its stream, another two are on their way to the pool or in it."""
_TLS_BYTES = 64 << 10


class Inflow:
    """The bodies under way on one event loop."""

    def __init__(self) -> None:
        _take_less_for_tls()
        self._bodies = 0
        self._buffer = memoryview(bytearray(MOST_BYTES))

    @property
    def piece_bytes(self) -> int:
        """The size of a piece at present: the more bodies are under way, the smaller."""
        return min(MOST_BYTES, max(LEAST_BYTES, HELD_BYTES // (_SHARES * max(1, self._bodies))))

    def buffer(self, most_bytes: int) -> memoryview:
        """Where a connection receives, until the next one does."""
        return self._buffer[: min(most_bytes, self.piece_bytes)]

    @contextmanager
    def body(self, stream: aiohttp.StreamReader) -> Iterator[None]:
        """One more body is under way, to be read from this stream."""
        self._bodies += 1
        try:
            stream.set_read_chunk_size(self.piece_bytes // 2)  # it holds back the sender at twice that
            yield
        finally:
            self._bodies -= 1

    def attach(self, connector: aiohttp.TCPConnector) -> None:
        """Have the connector's connections received by Receiver."""
        receiver: Callable[..., ResponseHandler] = Receiver
        connector._factory = partial(receiver, self, asyncio.get_running_loop())


class Receiver(ResponseHandler, asyncio.BufferedProtocol):
    """aiohttp's protocol, which by itself receives into 256 KB of fresh memory each time. What is given to it is
    copied at once: the buffer is the next connection's."""

    def __init__(self, inflow: Inflow, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._inflow = inflow
        self._next_bytes = LEAST_BYTES

    def set_response_params(self, **params: Any) -> None:
        """A new answer: its head is small, and its body is not counted before it is there."""
        self._next_bytes = LEAST_BYTES
        super().set_response_params(**params)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See BufferedProtocol."""
        return self._inflow.buffer(self._next_bytes)

    def buffer_updated(self, nbytes: int) -> None:
        """See BufferedProtocol."""
        data = bytes(self._inflow.buffer(nbytes))
        self._next_bytes = MOST_BYTES
        self.data_received(data)


def _take_less_for_tls() -> None:
    """Python gives each TLS connection a receive buffer of 256 KB, and writes to all of it at once: a quarter of a
    gigabyte for a thousand calls that wait."""
    SSLProtocol.max_size = _TLS_BYTES
