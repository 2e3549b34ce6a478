"""How many bytes of answers a process holds in memory, however many come at once and however large they are.

The endpoint client and the downloader share one Inflow. Bodies take turns: those whose turn it is are received in
large pieces, the others are held back through TCP with a little received. A turn begins with bytes that are there
and ends with the body, or soon after its sender falls silent: nobody who is slow holds up the others.
"""

import asyncio
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

PIECE_BYTES = 256 << 10
"""Given to the disk pool in one step, or up to twice as much. Each costs a way to another thread and back."""
TURNS = 24
"""At the same time: enough for the threads of the disk pool, and for links to be read while they work."""
PATIENCE_S = 0.1
"""With a sender that is silent during its turn."""
LEAST_BYTES = 16 << 10
"""What a body holds while it waits for its turn, or up to twice as much."""

_TLS_BYTES = 64 << 10

Piece = list[bytes]
"""Bytes as they were received, to be joined in the pool: copying them is a load for the event loop."""


class Inflow:
    """The bodies under way on one event loop."""

    def __init__(self) -> None:
        _take_less_for_tls()
        self._buffer = memoryview(bytearray(PIECE_BYTES))
        self.turns = asyncio.Semaphore(TURNS)

    def buffer(self, most_bytes: int) -> memoryview:
        """Where a connection receives, until the next one does."""
        return self._buffer[:most_bytes]

    @contextmanager
    def body(self, response: aiohttp.ClientResponse) -> Iterator["Body"]:
        """One more body, to be read to its end here."""
        body = Body(self, response)
        try:
            yield body
        finally:
            body.end_turn()

    def attach(self, connector: aiohttp.TCPConnector) -> None:
        """Have the connector's connections received by Receiver."""
        receiver: Callable[..., ResponseHandler] = Receiver
        connector._factory = partial(receiver, self, asyncio.get_running_loop())


class Body:
    """One body, piece by piece."""

    def __init__(self, inflow: Inflow, response: aiohttp.ClientResponse) -> None:
        self._inflow = inflow
        self._stream = response.content
        self._receiver = response.connection.protocol if response.connection else None
        self._held: Piece = []
        self._has_turn = False

    async def fill(self) -> bool:
        """Receive the next piece, which is then to be taken. False: the body ends with it. Raises
        aiohttp.ClientError; what came before that is to be taken."""
        if not self._has_turn:
            if not await self._receive():
                return False
            await self._begin_turn()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._collect()
        except TimeoutError:
            self.end_turn()
            return True

    def take(self) -> Piece:
        """What was received and not taken yet."""
        piece, self._held = self._held, []
        return piece

    async def _begin_turn(self) -> None:
        await self._inflow.turns.acquire()
        self._has_turn = True
        self._receive_at_most(PIECE_BYTES)

    def end_turn(self) -> None:
        """It is the next one's, if it was this one's."""
        if self._has_turn:
            self._has_turn = False
            self._receive_at_most(LEAST_BYTES)
            self._inflow.turns.release()

    def _receive_at_most(self, most_bytes: int) -> None:
        """At a time, and before the stream holds the sender back."""
        self._stream._low_water, self._stream._high_water = most_bytes // 2, most_bytes
        if isinstance(self._receiver, Receiver):
            self._receiver.most_bytes = most_bytes

    async def _collect(self) -> bool:
        while sum(map(len, self._held)) < PIECE_BYTES:
            if not await self._receive():
                return False
        return True

    async def _receive(self) -> bool:
        """Wait for some bytes; False when there are no more. Small chunks are joined: a list of single bytes takes
        fifty times their room."""
        chunk, ends_http_chunk = await self._stream.readchunk()
        if self._held and len(self._held[-1]) + len(chunk) <= LEAST_BYTES:
            self._held[-1] += chunk
        else:
            self._held.append(chunk)
        return bool(chunk) or ends_http_chunk


class Receiver(ResponseHandler, asyncio.BufferedProtocol):
    """aiohttp's protocol, which by itself receives into 256 KB of fresh memory each time. What is given to it is
    copied at once: the buffer is the next connection's."""

    def __init__(self, inflow: Inflow, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._inflow = inflow
        self._received_into = memoryview(b"")
        self.most_bytes = LEAST_BYTES

    def set_response_params(self, **params: Any) -> None:
        """A new answer: its head is small."""
        self.most_bytes = LEAST_BYTES
        super().set_response_params(**params)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See BufferedProtocol."""
        self._received_into = self._inflow.buffer(self.most_bytes)
        return self._received_into

    def buffer_updated(self, nbytes: int) -> None:
        """See BufferedProtocol."""
        self.data_received(bytes(self._received_into[:nbytes]))


def _take_less_for_tls() -> None:
    """Python gives each TLS connection a receive buffer of 256 KB, and writes to all of it at once: a quarter of a
    gigabyte for a thousand calls that wait."""
    SSLProtocol.max_size = _TLS_BYTES
