"""Turns of bodies: pieces of full size, few bodies at a time, and silence that holds nobody up."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from worker import turns
from worker.line import NO_LINE
from worker.turns import Body, Turns


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PIECE_BYTES", 10)
    monkeypatch.setattr(turns, "SLOW_PIECE_BYTES", 4)
    monkeypatch.setattr(turns, "TURNS", 1)


class Sender:
    """A body whose bytes come when the test sends them; b"" ends it."""

    def __init__(self, *sent: bytes) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.send(*sent)

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self._queue.put_nowait(chunk)

    @property
    def left(self) -> int:
        """Chunks that nobody took yet."""
        return self._queue.qsize()

    async def chunks(self, most_bytes: int) -> AsyncGenerator[bytes, None]:
        while chunk := await self._queue.get():
            yield chunk


async def read(body: Body, sender: Sender) -> list[bytes]:
    """All its pieces, the rest last."""
    async with aclosing(body.pieces(sender.chunks)) as pieces:
        return [b"".join(piece) async for piece in pieces] + [b"".join(body.take())]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.001)


def test_a_body_comes_in_pieces_of_full_size_and_a_rest() -> None:
    async def main() -> list[bytes]:
        with Turns().body(NO_LINE) as body:
            return await read(body, Sender(b"123456", b"7890ab", b"cdefghij", b"kl", b"mn", b""))

    assert asyncio.run(main()) == [b"1234567890ab", b"cdefghijkl", b"mn"]


def test_an_empty_body_has_no_pieces() -> None:
    async def main() -> list[bytes]:
        with Turns().body(NO_LINE) as body:
            return await read(body, Sender(b"", b""))

    assert asyncio.run(main()) == [b""]


def test_the_next_body_is_read_when_the_turn_of_the_first_ends() -> None:
    async def one(shared: Turns, sender: Sender, ended: list[str], name: str) -> None:
        with shared.body(NO_LINE) as body:
            await read(body, sender)
        ended.append(name)

    async def main() -> list[str]:
        shared, ended = Turns(), list[str]()
        first, second = Sender(b"12"), Sender(b"34", b"56", b"")
        tasks = [asyncio.create_task(one(shared, first, ended, "first"))]
        await until(lambda: first.left == 0)
        tasks.append(asyncio.create_task(one(shared, second, ended, "second")))
        await until(lambda: second.left == 2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert second.left == 2  # its first bytes were taken, then it waited
        first.send(b"")
        await asyncio.gather(*tasks)
        return ended

    assert asyncio.run(main()) == ["first", "second"]


def test_a_sender_that_falls_silent_loses_its_turn_and_goes_on_in_small_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.01)

    async def main() -> list[bytes]:
        shared, silent = Turns(), Sender(b"123")
        with shared.body(NO_LINE) as held, shared.body(NO_LINE) as other:
            slow = asyncio.create_task(read(held, silent))
            await until(lambda: silent.left == 0)
            assert await asyncio.wait_for(read(other, Sender(b"ab", b"")), 10) == [b"ab"]
            other.end_turn()
            silent.send(b"45", b"6789", b"")
            return await asyncio.wait_for(slow, 10)

    assert asyncio.run(main()) == [b"123", b"456789", b""]


def test_a_sender_that_is_slow_but_never_silent_shares_with_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.01)

    async def main() -> list[bytes]:
        shared, slow = Turns(), Sender(b"1")
        with shared.body(NO_LINE) as held, shared.body(NO_LINE) as other:
            reading = asyncio.create_task(read(held, slow))
            await until(lambda: slow.left == 0)
            waiting = asyncio.create_task(read(other, Sender(b"ab", b"")))
            while not waiting.done():
                slow.send(b"2")
                await until(lambda: slow.left == 0 or waiting.done())
                await asyncio.sleep(0.001)
            other.end_turn()
            slow.send(b"")
            return await asyncio.wait_for(reading, 10)

    pieces = asyncio.run(main())
    assert b"".join(pieces) == b"1" + b"2" * (len(b"".join(pieces)) - 1)
    assert len(pieces) > 1


def test_a_body_whose_piece_is_being_decoded_keeps_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.001)

    async def main() -> None:
        shared, sender = Turns(), Sender(b"1", b"2345678901", b"")
        with shared.body(NO_LINE) as body, shared.body(NO_LINE) as other:
            async with aclosing(body.pieces(sender.chunks)) as pieces:
                assert await anext(pieces)
                waiting = asyncio.create_task(read(other, Sender(b"ab", b"")))
                looked_at_s = asyncio.get_running_loop().time()
                await until(lambda: asyncio.get_running_loop().time() > looked_at_s + 20 * turns.PATIENCE_S)
                assert not waiting.done()
                assert await anext(pieces, []) == []
            body.end_turn()
            assert await asyncio.wait_for(waiting, 10) == [b"ab"]

    asyncio.run(main())


def test_a_body_that_is_given_up_while_it_waits_takes_no_turn_along() -> None:
    async def main() -> list[bytes]:
        shared, hanging = Turns(), Sender(b"1")
        with shared.body(NO_LINE) as first:
            holder = asyncio.create_task(read(first, hanging))
            await until(lambda: hanging.left == 0)
            with shared.body(NO_LINE) as second:
                sender = Sender(b"2", b"")
                waiting = asyncio.create_task(read(second, sender))
                await until(lambda: sender.left == 1)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            holder.cancel()
            await asyncio.gather(holder, return_exceptions=True)
        with shared.body(NO_LINE) as third:
            return await asyncio.wait_for(read(third, Sender(b"3", b"")), 10)

    assert asyncio.run(main()) == [b"3"]
