"""What changes, told to whoever listens: each topic is read once a period, however many listen, and by nobody else.

A topic that nobody listens to is not read. Values are whole, so a listener that was away needs only the next one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

from jobs.errors import ImagemillError

T = TypeVar("T")

PERIOD_S = 1.0
HEARTBEAT_S = 15.0
"""A silent stream says at least so often that it is there."""


@dataclass(frozen=True, slots=True)
class News(Generic[T]):
    """A value that is not the last one; `id` grows with time, also over restarts."""

    id: int
    value: T


@dataclass(slots=True)
class _Topic(Generic[T]):
    task: "asyncio.Task[None]"
    listeners: int = 0
    news: News[T] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Publisher(Generic[T]):
    """Belongs to one event loop. `period_s` and `heartbeat_s` are for tests."""

    def __init__(self, *, period_s: float = PERIOD_S, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._period_s = period_s
        self._heartbeat_s = heartbeat_s
        self._topics: dict[str, _Topic[T]] = {}

    @property
    def topics(self) -> list[str]:
        """Those that are being read."""
        return list(self._topics)

    async def follow(self, topic: str, read: Callable[[], T]) -> AsyncIterator[News[T] | None]:
        """The value now, then each that differs from the one before; None for a heartbeat. `read` runs in a thread;
        all who follow a topic must mean the same by it."""
        mine = self._join(topic, read)
        seen = 0
        try:
            while True:
                if mine.news is not None and mine.news.id > seen:
                    seen = mine.news.id
                    yield mine.news
                    continue
                if not await self._wait(mine.changed):
                    yield None
        finally:
            self._leave(topic, mine)

    async def _wait(self, changed: asyncio.Event) -> bool:
        """Whether something changed before it was time for a heartbeat."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    def _join(self, topic: str, read: Callable[[], T]) -> _Topic[T]:
        mine = self._topics.get(topic)
        if mine is None:
            mine = self._topics[topic] = _Topic(asyncio.create_task(self._keep_reading(topic, read)))
        mine.listeners += 1
        return mine

    def _leave(self, topic: str, mine: _Topic[T]) -> None:
        mine.listeners -= 1
        if mine.listeners == 0:
            mine.task.cancel()
            if self._topics.get(topic) is mine:
                del self._topics[topic]

    async def _keep_reading(self, topic: str, read: Callable[[], T]) -> None:
        while True:
            try:
                value = await run_in_threadpool(read)
            except ImagemillError:  # it comes back, or the listeners see that nothing comes
                await asyncio.sleep(self._period_s)
                continue
            mine = self._topics[topic]
            if mine.news is None or mine.news.value != value:
                last = mine.news.id if mine.news else 0
                mine.news = News(max(last + 1, int(time.time() * 1000)), value)
                mine.changed.set()
                mine.changed = asyncio.Event()
            await asyncio.sleep(self._period_s)
