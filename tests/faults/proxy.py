"""A TCP link that can be broken: a proxy on 127.0.0.1 in a thread, between any client and any server of a test.

Its rules may change while connections are open. It knows nothing of what it carries, but can look for a pattern in
it: let a database's COMMIT pass and lose the reply. TLS must be off on the link, or patterns never match.
"""

import asyncio
import ctypes
import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self

from tests.services.server import free_port

_PIECE_BYTES = 64 << 10
_START_S = 30.0
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27


@dataclass(frozen=True, slots=True)
class Rules:
    """What the link does to the bytes on it; by default nothing. `answer` is the way back to the client."""

    refuse: bool = False
    """Nobody listens: a new connection is refused."""
    drop: bool = False
    """Packets vanish without a trace, as when a cable is pulled: nothing is acknowledged or reset. What was sent
    meanwhile arrives after it."""
    hold: bool = False
    """Bytes are taken and acknowledged, and go no further until this ends: a machine that hangs."""
    delay_s: float = 0.0
    """Each piece is late by so much, both ways."""
    drip: tuple[int, float] | None = None
    """The answer comes so many bytes at a time, a pause of seconds before each."""
    cut_request_after: int | None = None
    """Connections end when so many bytes of the client have passed."""
    cut_answer_after: int | None = None
    """Connections end when so many bytes of the server have passed."""
    cut: Literal["reset", "close"] = "reset"
    """How they end then: by a RST, or in an orderly way."""
    pattern: bytes | None = None
    """When the client sends this, something is lost, and the connection is reset."""
    lose: Literal["request", "reply"] = "reply"
    """With the pattern: what the client sent does not get through, or it does and the reply does not."""
    one_in: int = 1
    """Of so many occurrences of the pattern, one."""


class Proxy:
    """Listens on `port` and passes on to `target_port`, both on 127.0.0.1. A context manager."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.rules = Rules()
        self.accepted = 0
        """Connections so far."""
        self.lost = 0
        """How often the pattern made it lose something."""
        self._target_port = target_port
        self._occurrences = itertools.count(1)
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def change(self, **rules: Any) -> None:
        """Set some of the rules; in force on return, for open connections too."""
        self._do(self._change(replace(self.rules, **rules)))

    def heal(self) -> None:
        """Break nothing any more. Connections that were held or dropped go on."""
        self._do(self._change(Rules()))

    def reset_all(self) -> None:
        """Reset every open connection."""
        self._do(self._reset_all())

    def through(self, url: str) -> str:
        """The URL of a server behind this proxy, as its clients reach it through the proxy."""
        return url.replace(f"127.0.0.1:{self._target_port}", f"127.0.0.1:{self.port}")

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def occurs(self) -> bool:
        """Whether this occurrence of the pattern is one that counts."""
        if next(self._occurrences) % self.rules.one_in:
            return False
        self.lost += 1
        return True

    def _do(self, step: Any) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(_START_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._listener.setblocking(False)
        self._accepting = self._loop.create_task(self._accept())

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self.accepted += 1
            link = _Link(self, client)
            self._links.add(link)
            task = self._loop.create_task(link.carry(self._target_port))
            task.add_done_callback(lambda _, link=link: self._links.discard(link))
            link.task = task

    async def _change(self, rules: Rules) -> None:
        refused, self.rules = self.rules.refuse, rules
        if rules.refuse and not refused:
            await self._stop_listening()
        elif refused and not rules.refuse:
            await self._listen()
        if not rules.refuse:
            _filter(self._listener, rules.drop)
        for link in self._links:
            link.changed()

    async def _stop_listening(self) -> None:
        await _end(self._accepting)
        self._listener.close()

    async def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()
            await _end(link.task)

    async def _close(self) -> None:
        await self._stop_listening()
        await self._reset_all()


class _Link:
    """One connection of a client, and the one to the server that it is carried on."""

    task: asyncio.Task[None]

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = socket.socket()
        self._server.setblocking(False)
        self._moved = asyncio.Event()
        self._losing = False
        self.changed()

    def changed(self) -> None:
        """The rules are others."""
        self._moved.set()
        self._moved = asyncio.Event()
        for one in (self._client, self._server):
            if one.fileno() >= 0:
                _filter(one, self._proxy.rules.drop)

    def reset(self) -> None:
        """End by a RST to both sides."""
        for one in (self._client, self._server):
            if one.fileno() >= 0:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def carry(self, port: int) -> None:
        """Until both sides are done, or the link is cut."""
        try:
            await self._passage()
            await asyncio.get_running_loop().sock_connect(self._server, ("127.0.0.1", port))
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._up())
                both_ways.create_task(self._down())
        except* (OSError, _Cut):
            pass
        finally:
            self._client.close()
            self._server.close()

    async def _up(self) -> None:
        """From the client to the server."""
        passed, seen = 0, b""
        async for data in _pieces(self._client):
            rules = self._proxy.rules
            pattern = rules.pattern
            found = pattern is not None and pattern in seen + data and self._proxy.occurs()
            seen = data[-len(pattern) + 1 :] if pattern and not found else b""
            if found and rules.lose == "request":
                self._cut("reset")
            self._losing = self._losing or found
            passed = await self._on(self._server, data, passed, rules.cut_request_after)
        self._finish(self._server)

    async def _down(self) -> None:
        """From the server to the client."""
        passed = 0
        async for data in _pieces(self._server):
            if self._losing:
                self._cut("reset")
            for piece in self._dripping(data):
                passed = await self._on(self._client, piece, passed, self._proxy.rules.cut_answer_after)
        self._finish(self._client)

    def _dripping(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = self._proxy.rules.drip[0] if self._proxy.rules.drip else len(data)
            yield data[:size]
            data = data[size:]

    async def _on(self, sink: socket.socket, data: bytes, passed: int, most: int | None) -> int:
        """Pass the data on as the rules have it; the number of bytes that have passed by then."""
        rules = self._proxy.rules
        dripped_s = rules.drip[1] if rules.drip and sink is self._client else 0.0
        await asyncio.sleep(rules.delay_s + dripped_s)
        await self._passage()
        part = data if most is None else data[: max(0, most - passed)]
        await asyncio.get_running_loop().sock_sendall(sink, part)
        if most is not None and passed + len(part) >= most:
            self._cut(rules.cut)
        return passed + len(part)

    async def _passage(self) -> None:
        """Wait while nothing gets through."""
        while self._proxy.rules.hold or self._proxy.rules.drop:
            await self._moved.wait()

    def _cut(self, how: str) -> None:
        if how == "reset":
            self.reset()
        raise _Cut

    @staticmethod
    def _finish(sink: socket.socket) -> None:
        """The other side has nothing more to say."""
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class _Cut(Exception):
    """The rules end this connection."""


async def _pieces(source: socket.socket) -> Any:
    while data := await asyncio.get_running_loop().sock_recv(source, _PIECE_BYTES):
        yield data


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


_RETURN_0 = (_Instruction * 1)(_Instruction(6, 0, 0, 0))


def _filter(one: socket.socket, drop: bool) -> None:
    """Have the kernel drop every packet that comes in for the socket, before it is acknowledged, or none."""
    if drop:
        one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_Program(1, _RETURN_0)))
    else:
        with suppress(OSError):  # there was no filter
            one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
