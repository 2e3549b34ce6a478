"""Things to be done later, and things to be done every so often, by the one thread of a run."""

import time
from collections.abc import Callable

Act = Callable[[], None]


class Timers:
    """Moments are seconds of the monotonic clock. Nothing happens but in `run_due`."""

    def __init__(self) -> None:
        self._later: list[tuple[float, Act]] = []
        self._next: dict[str, float] = {}

    @property
    def empty(self) -> bool:
        """Nothing is left that was to be done once."""
        return not self._later

    def after(self, wait_s: float, act: Act) -> None:
        self._later.append((time.monotonic() + wait_s, act))

    def run_due(self) -> None:
        now_s = time.monotonic()
        due = [one for one in self._later if one[0] <= now_s]
        self._later = [one for one in self._later if one[0] > now_s]
        for _, act in due:
            act()

    def every(self, name: str, every_s: float, act: Act) -> None:
        """Do it, unless it was done within the last `every_s`; counted from its end, for it may take long."""
        if time.monotonic() >= self._next.get(name, 0.0):
            act()
            self._next[name] = time.monotonic() + every_s
