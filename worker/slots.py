"""Calls in flight per process: a fixed number of slots, taken for admissions and given back by ended calls."""

import threading


class Slots:
    """Thread-safe counter of free slots."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._changed = threading.Condition()

    @property
    def in_use(self) -> int:
        return self.total - self._free

    def take(self, most: int, timeout_s: float) -> int:
        """Up to `most` slots, as soon as one is free; 0 after the time-out."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0, timeout_s)
            taken = min(most, self._free)
            self._free -= taken
            return taken

    def give(self, count: int = 1) -> None:
        with self._changed:
            self._free += count
            self._changed.notify_all()

    def wait_all_free(self, timeout_s: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._free == self.total, timeout_s)
