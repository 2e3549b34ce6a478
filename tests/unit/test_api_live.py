"""The publisher: one reader for all listeners of a topic, none for a topic that nobody follows."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from jobs.api.live import News, Publisher
from jobs.errors import LedgerAway


def publisher(**changes: float) -> Publisher[int]:
    return Publisher(**{"period_s": 0.001, "heartbeat_s": 20, **changes})


async def first(stream: AsyncIterator[News[int] | None]) -> News[int] | None:
    return await asyncio.wait_for(anext(stream), 20)


async def value(stream: AsyncIterator[News[int] | None]) -> int:
    news = await first(stream)
    assert news is not None
    return news.value


async def gone(found: Publisher[int]) -> None:
    async with asyncio.timeout(20):
        while found.topics:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.001)


def test_a_listener_gets_the_value_now_and_then_each_change_with_growing_ids() -> None:
    async def listen() -> list[News[int] | None]:
        values = iter([1, 1, 1, 2, 2, 3] + [3] * 10**6)
        stream = publisher().follow("topic", lambda: next(values))
        return [await first(stream) for _ in range(3)]

    told = [news for news in asyncio.run(listen()) if news]
    assert [news.value for news in told] == [1, 2, 3]
    assert [news.id for news in told] == sorted({news.id for news in told})


def test_many_listeners_of_a_topic_are_one_reader() -> None:
    async def listen() -> tuple[set[int], int]:
        reads = 0

        def read() -> int:
            nonlocal reads
            reads += 1
            return 7

        found = publisher(period_s=20)
        streams = [found.follow("topic", read) for _ in range(50)]
        values = {await value(stream) for stream in streams}
        return values, reads

    assert asyncio.run(listen()) == ({7}, 1)


def test_a_topic_is_read_as_long_as_somebody_listens() -> None:
    async def listen() -> tuple[list[str], list[str]]:
        found = publisher()
        one, two = found.follow("a", lambda: 1), found.follow("a", lambda: 1)
        await value(one), await value(two)
        await one.aclose()  # type: ignore[attr-defined]
        during = found.topics
        await two.aclose()  # type: ignore[attr-defined]
        await gone(found)
        return during, found.topics

    assert asyncio.run(listen()) == (["a"], [])


def test_a_silent_topic_beats() -> None:
    async def listen() -> Any:
        stream = publisher(heartbeat_s=0.05).follow("topic", lambda: 1)
        return [await first(stream) for _ in range(5)][-2:]  # the only news may come behind a first beat

    assert asyncio.run(listen()) == [None, None]


def test_a_ledger_that_is_away_for_a_while_ends_no_stream() -> None:
    async def listen() -> list[int]:
        turns = iter([1, LedgerAway("gone"), LedgerAway("gone"), 2] + [2] * 10**6)

        def read() -> int:
            turn = next(turns)
            if isinstance(turn, Exception):
                raise turn
            return turn

        stream = publisher().follow("topic", read)
        return [await value(stream) for _ in range(2)]

    assert asyncio.run(listen()) == [1, 2]
