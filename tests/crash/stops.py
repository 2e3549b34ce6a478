"""Plants one stop into the process under test: SIGKILL, an exception or a lost database link, at one place.

Places are functions of the product, or of its libraries where the product has none, wrapped from outside. A place
that does not exist any more is an error. The process leaves a mark when it comes there, so that a case whose
boundary was never met cannot pass.
"""

import asyncio
import functools
import importlib
import inspect
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tests.crash.link import Link

Counts = Callable[..., bool]


class Way(Enum):
    """How a process is stopped at a boundary."""

    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    EXCEPTION = "exception"
    LINK_LOST = "link-lost"
    """The ledger cannot be reached for a moment; at a commit: from just before it."""
    REPLY_LOST = "reply-lost"
    """Only at a commit: done, but nobody hears of it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The COMMIT of one act of the ledger. `counts` looks at the act's result and its arguments."""

    act: str
    counts: Counts = lambda result, *args: True


@dataclass(frozen=True, slots=True)
class Step:
    """A call. `before` names the function at whose entry the process is before the boundary, `after` the one at
    whose return it is past it; `counts` looks at the arguments of either."""

    before: str
    after: str
    error: Callable[[], Exception]
    counts: Counts = lambda *args: True
    passed: Callable[..., bool] = lambda *args: True
    """With the arguments of `after`: whether its return really is past the boundary; asked until it is."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(place: Commit | Step, way: Way, mark: Path, end: Callable[[], None] = die) -> None:
    """Change this process so that it stops there, once, and touches `mark`. `end` is what a kill does."""
    link = Link()
    if isinstance(place, Commit):
        trigger = _Trigger(way, mark, link, lambda: RuntimeError("planted before the commit"), end)
        link.at_commits_of(find(place.act)[2], place.counts, trigger.before, trigger.after)
    else:
        trigger = _Trigger(way, mark, link, place.error, end)
        _wrap(place.before, place.counts, before=trigger.before)
        _wrap(place.after, place.counts, after=trigger.after, passed=place.passed)


def find(place: str) -> tuple[Any, str, Any]:
    """(owner, name, value) of `package.module:Name` or `package.module:Class.name`."""
    module_name, _, path = place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    if name not in vars(owner):
        raise AttributeError(f"{place} does not exist any more: the table of boundaries is out of date")
    return owner, name, vars(owner)[name]


class _Trigger:
    """Goes off once, at the first event that fits the way."""

    def __init__(
        self, way: Way, mark: Path, link: Link, error: Callable[[], Exception], end: Callable[[], None]
    ) -> None:
        self._way = way
        self._mark = mark
        self._link = link
        self._error = error
        self._end = end
        self._once = threading.Lock()

    def before(self) -> None:
        if self._way in (Way.KILL_AFTER, Way.REPLY_LOST) or not self._goes_off():
            return
        if self._way is Way.KILL_BEFORE:
            self._end()
        if self._way is Way.EXCEPTION:
            raise self._error()
        self._link.cut()

    def after(self) -> None:
        if self._way not in (Way.KILL_AFTER, Way.REPLY_LOST) or not self._goes_off():
            return
        if self._way is Way.KILL_AFTER:
            self._end()
        self._link.cut()
        raise self._link.error()

    def _goes_off(self) -> bool:
        if not self._once.acquire(blocking=False):
            return False
        self._mark.touch()
        return True


def _wrap(
    place: str,
    counts: Counts,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
    passed: Callable[..., bool] = lambda *args: True,
) -> None:
    owner, name, original = find(place)

    @functools.wraps(original)
    def called(*args: Any, **named: Any) -> Any:
        if not counts(*args):
            return original(*args, **named)
        before()
        result = original(*args, **named)
        after()
        return result

    @functools.wraps(original)
    async def awaited(*args: Any, **named: Any) -> Any:
        if not counts(*args):
            return await original(*args, **named)
        before()
        result = await original(*args, **named)
        while not passed(*args):  # noqa: ASYNC110 - decided by another process, without an event
            await asyncio.sleep(0.01)
        after()
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(original) else called)
