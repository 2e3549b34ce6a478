"""Waiting for a condition with a deadline: the only way in which these tests let time pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 0.05


def wait_until(holds: Callable[[], T], within_s: float, what: str | Callable[[], str]) -> T:
    """The first truthy value of `holds`. Fails after `within_s` with `what` was waited for."""
    deadline = time.monotonic() + within_s
    while not (value := holds()):
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {within_s:.0f} s: {told}")
        time.sleep(_LOOK_EVERY_S)
    return value
