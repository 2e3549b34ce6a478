"""The steady state of a run: from the moment the first wave of calls is back until the last wave is out.

The pipeline is equally full at both ends, so what lies between is whole work: neither start-up nor the draining end
is measured. Called by the benchmarks that run workers as processes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import PeakMemory, cpu_s

LOOKS_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a run at one moment; `cpu_s` by party, `counted` by counter."""

    at_s: float
    done: int
    cpu_s: Mapping[str, float]
    counted: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Steady:
    """What a run did in its steady state. `cpu_ms` by party and `counted` by counter are per job."""

    jobs: int
    seconds: float
    cpu_ms: Mapping[str, float]
    counted: Mapping[str, float]
    rss_mb: float
    pss_mb: float

    @property
    def jobs_per_s(self) -> float:
        return self.jobs / self.seconds


class Run:
    """One run under observation. `parties` are process trees by name, the first of them the one whose memory is
    watched; `done` counts ended jobs and costs next to nothing; `counters` only grow."""

    def __init__(
        self,
        parties: Mapping[str, Sequence[int]],
        done: Callable[[], int],
        counters: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._parties = parties
        self._done = done
        self._counters = counters

    def observe(self, jobs: int, in_flight: int, within_s: float) -> Steady:
        """Wait for the steady state and for its end. Raises SystemExit when it does not come in time."""
        watched = next(iter(self._parties.values()))
        with PeakMemory(lambda: watched) as memory:
            began = self._until(in_flight, within_s)
            ended = self._until(jobs - in_flight, within_s)
        done = ended.done - began.done
        if done <= 0:
            raise SystemExit(f"{jobs} jobs are too few for {in_flight} in flight: there is no steady state")
        cpu_ms = {name: 1000 * (ended.cpu_s[name] - began.cpu_s[name]) / done for name in self._parties}
        counted = {name: (ended.counted[name] - began.counted[name]) / done for name in ended.counted}
        return Steady(done, ended.at_s - began.at_s, cpu_ms, counted, memory.rss_mb, memory.pss_mb)

    def read(self) -> Reading:
        cpu = {name: cpu_s(pids) for name, pids in self._parties.items()}
        return Reading(time.monotonic(), self._done(), cpu, self._counters())

    def _until(self, count: int, within_s: float) -> Reading:
        deadline_s = time.monotonic() + within_s
        while (done := self._done()) < count:
            self._require_alive()
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{done} of {count} jobs had ended after {within_s:.0f} s")
            time.sleep(LOOKS_EVERY_S)
        return self.read()

    def _require_alive(self) -> None:
        for name, pids in self._parties.items():
            for pid in pids:
                stat = Path(f"/proc/{pid}/stat")
                if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
                    raise SystemExit(f"{name}: process {pid} has ended")
