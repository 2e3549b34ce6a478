"""Wrong tokens are answered, but not many a minute from one address: guessing is slow, and costs the ledger little.

Kept in memory: it protects a process, not the tokens, which have 256 random bits.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST_WRONG = 10
_WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000
_MOST_KNOWN = 1_000


class Throttle:
    """Thread-safe. Tokens that were right before pass: a bad neighbour behind a proxy locks nobody out."""

    def __init__(self, most_wrong: int = _MOST_WRONG, now: Callable[[], float] = time.monotonic) -> None:
        self._most_wrong = most_wrong
        self._now = now
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def wait_s(self, address: str, digest: str) -> int:
        """0: the token may be looked at. Else the seconds after which it may."""
        with self._lock:
            times = self._wrong.get(address)
            if digest in self._known or not times:
                return 0
            while times and times[0] <= self._now() - _WINDOW_S:
                times.popleft()
            return 0 if len(times) < self._most_wrong else int(times[0] + _WINDOW_S - self._now()) + 1

    def was_wrong(self, address: str, digest: str) -> None:
        with self._lock:
            self._known.pop(digest, None)
            times = self._wrong.setdefault(address, deque(maxlen=self._most_wrong))
            times.append(self._now())
            self._wrong.move_to_end(address)
            if len(self._wrong) > _MOST_ADDRESSES:
                self._wrong.popitem(last=False)

    def was_right(self, digest: str) -> None:
        with self._lock:
            self._known[digest] = None
            self._known.move_to_end(digest)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
