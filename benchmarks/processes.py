"""CPU time and memory of other processes and their children, read from /proc.

Called by the benchmarks around what they measure: CPU as the difference of two readings, memory as the highest
of many readings by a thread.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
UTIME, SYSTEM_TIME, CHILDREN_USER, CHILDREN_SYSTEM = 11, 12, 13, 14
"""Places in /proc/PID/stat, counted after the command's closing bracket."""


def tree(root: int) -> list[int]:
    """The process and its living descendants."""
    found = [root]
    for pid in found:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_s(roots: Sequence[int]) -> float:
    """User and system seconds so far of these processes and of all they ever started and waited for."""
    return sum(_cpu_ticks(pid) for root in roots for pid in tree(root)) / TICKS_PER_S


def rss_mb(roots: Sequence[int]) -> float:
    """Resident memory now; pages that processes share count in each."""
    return sum(_resident_pages(pid) for root in roots for pid in tree(root)) * PAGE_BYTES / 1e6


def pss_mb(roots: Sequence[int]) -> float:
    """Resident memory now, each shared page divided among those who share it: what a machine must have."""
    return sum(_proportional_kb(pid) for root in roots for pid in tree(root)) * 1024 / 1e6


def peak_rss_mb(pid: int) -> float:
    """The highest that the kernel saw of one living process (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def wait_until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Looks every 20 ms; raises SystemExit, for a benchmark that waits in vain has nothing to show."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{what}: not within {within_s:.0f} s")
        time.sleep(0.02)


class PeakMemory:
    """The most memory that some process trees had together while this was open, by samples.

    >>> with PeakMemory(lambda: [worker.pid]) as memory:
    ...     ...
    >>> memory.rss_mb, memory.pss_mb
    """

    def __init__(self, roots: Callable[[], Sequence[int]], every_s: float = 0.5) -> None:
        self.rss_mb = 0.0
        self.pss_mb = 0.0
        self._roots = roots
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            roots = self._roots()
            self.rss_mb = max(self.rss_mb, rss_mb(roots))
            self.pss_mb = max(self.pss_mb, pss_mb(roots))
            if self._stop.wait(self._every_s):
                return


def _cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[place]) for place in (UTIME, SYSTEM_TIME, CHILDREN_USER, CHILDREN_SYSTEM))
    return 0


def _resident_pages(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return 0


def _proportional_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
