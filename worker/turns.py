"""Whose body is read just now: however many answers come at once, only some of them are taken into memory.

The endpoint client and the downloader share one Turns. A turn begins with bytes that are there, and lasts until the
body ends, its sender falls silent, or it was long while others wait; who waits for a turn does not read, and so
holds its sender back through TCP.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from worker.line import LEAST_BYTES, Line, Lines

PIECE_BYTES = 256 << 10
"""Given to the disk pool in one step: each costs the way to another thread and back."""
SLOW_PIECE_BYTES = 32 << 10
"""Of a sender that lost its turn before: hundreds of such bodies may have a piece begun."""
TURNS = 6
"""At the same time: enough for the threads of the disk pool, and for links to be read while they work."""
PATIENCE_S = 0.1
"""With a sender that is silent during its turn."""
LOOKS = 10
"""So many times PATIENCE_S a turn lasts while others wait: a slow sender's bytes gather in the kernel meanwhile."""

Piece = list[bytes]
"""Bytes as they were received, to be joined in the pool: copying them is a load for the event loop."""
Chunks = Callable[[int], AsyncGenerator[bytes, None]]
"""What is still to come of a body, in chunks of so many bytes at most; about as many are read ahead."""


class Turns:
    """Of the bodies under way on one event loop; handed out in the order in which they were asked for."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(TURNS)
        self.lines = Lines()

    @contextmanager
    def body(self, line: Line) -> Iterator["Body"]:
        """One more body comes through this line; it is to be read to its end in this block."""
        body = Body(self._free, line)
        try:
            yield body
        finally:
            body.end_turn()


class Body:
    """One body on its way to the disk pool."""

    def __init__(self, free: asyncio.Semaphore, line: Line) -> None:
        self._free = free
        self._line = line
        self._held: Piece = []
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._heard = False
        self._busy = False
        self._is_slow = False
        self._looks = 0

    async def pieces(self, chunks: Chunks) -> AsyncGenerator[Piece, None]:
        """The pieces of full size. What comes after the last, before the end or an error, is to be taken."""
        begun = chunks(LEAST_BYTES)
        self._hold(await anext(begun, b""))
        await begun.aclose()
        await self._begin_turn()
        async for chunk in chunks(PIECE_BYTES):
            if (
                self._held and self._timer is None
            ):  # others have their turns now: it is not to be held all the while
                yield self.take()
            await self._begin_turn()
            self._hold(chunk)
            if self._held_bytes >= (SLOW_PIECE_BYTES if self._is_slow else PIECE_BYTES):
                self._busy = True
                yield self.take()
                self._busy = False

    def take(self) -> Piece:
        """What was received and not taken yet."""
        piece, self._held, self._held_bytes = self._held, [], 0
        return piece

    def end_turn(self) -> None:
        """It is the next one's, if it was this one's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._line.narrow()
            self._free.release()

    def _hold(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)

    async def _begin_turn(self) -> None:
        if self._timer is None:
            if self._is_slow and self._free.locked():
                self._line.pause()  # much would be read ahead by now; at first the stream itself holds back
            await self._free.acquire()
            self._line.widen()
            self._looks = 0
            self._wait()
        self._heard = True

    def _wait(self) -> None:
        self._heard = False
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._look)

    def _look(self) -> None:
        """End the turn, unless something came since the last look, or what came is still being decoded."""
        self._looks += 1
        if self._busy or (self._heard and not (self._looks >= LOOKS and self._free.locked())):
            self._wait()
        else:
            self._is_slow = True
            self.end_turn()
