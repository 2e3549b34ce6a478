"""How many attempts a process may hold open: its calls in flight, and a few admitted ahead of them.

Ahead are only as many as will be sent within AHEAD_S at the present rate, so that a fast endpoint does not wait for
the ledger, while with calls of many seconds an open attempt really is in flight.
"""

import threading
import time

AHEAD_S = 0.25
_MOST_AHEAD = 0.5
"""Of the calls in flight."""
_RATE_OVER_S = 1.0


class Slots:
    """Thread-safe counter of free slots. `total` calls are in flight at most; see `allowed` for those ahead."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._ended = 0
        self._rate = 0.0
        self._rated_at_s = time.monotonic()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def in_use(self) -> int:
        return self._taken

    @property
    def allowed(self) -> int:
        """Attempts that may be open at present."""
        return self.total + min(int(self.total * _MOST_AHEAD), int(self._rate * AHEAD_S))

    def take(self, timeout_s: float) -> int:
        """All free slots, as soon as one is free; 0 after the time-out, and after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._taken < self.allowed, timeout_s)
            free = 0 if self._closed else max(0, self.allowed - self._taken)
            self._taken += free
            return free

    def give(self, count: int) -> None:
        """Give back slots that were not used."""
        with self._changed:
            self._taken -= count
            self._changed.notify_all()

    def end(self) -> None:
        """A call has ended."""
        with self._changed:
            self._taken -= 1
            self._ended += 1
            self._measure()
            self._changed.notify_all()

    def close(self) -> None:
        """No more slots are handed out; whoever waits for one waits no longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_all_free(self, timeout_s: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._taken == 0, timeout_s)

    def _measure(self) -> None:
        passed_s = time.monotonic() - self._rated_at_s
        if passed_s >= _RATE_OVER_S:
            self._rate, self._ended, self._rated_at_s = self._ended / passed_s, 0, time.monotonic()
