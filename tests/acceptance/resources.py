"""What a process holds: memory, open files, threads, and its connections to the database."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.mill import Mill
from tests.acceptance.processes import Process
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

ALLOWED = 1.05
POOL = 12
"""Connections that a worker may keep."""


@dataclass(frozen=True, slots=True)
class Held:
    files: int
    threads: int
    connections: int
    memory_kib: int

    @property
    def others(self) -> int:
        """Files that are no connection to the database."""
        return self.files - self.connections

    def over(self, baseline: "Held", *, memory: bool) -> list[str]:
        """What is more than five per cent above the baseline. Connections of the pool come one by one, when two
        threads first want one at the same moment, and stay: they count on their own, up to the pool's size."""
        names = ("others", "threads", *(("memory_kib",) if memory else ()))
        pairs = ((name, getattr(self, name), getattr(baseline, name)) for name in names)
        above = [f"{name}: {now}, was {before}" for name, now, before in pairs if now > before * ALLOWED]
        return above + ([f"connections: {self.connections}"] if self.connections > POOL else [])


def held(mill: Mill, worker: Process) -> Held:
    process = Path("/proc") / str(worker.pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Held(
        files=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        connections=mill.books.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ),
        memory_kib=int(status["VmRSS"].split()[0]),
    )


def run_and_compare(mill: Mill, *, warm_up: int, jobs: int, memory: bool) -> None:
    """Run so many jobs in one worker; then what it holds is back at what it held after `warm_up` jobs."""
    worker = mill.start_worker()
    mill.submit(plain_rows(warm_up), name="first.jsonl")
    mill.wait_done(warm_up, 60 + warm_up / 20)
    baseline = _settled(lambda: held(mill, worker))
    mill.submit(plain_rows(jobs), name="second.jsonl")
    mill.wait_done(warm_up + jobs, 60 + jobs / 20)
    more = [""]

    def is_back() -> bool:
        more[:] = held(mill, worker).over(baseline, memory=memory)
        return not more

    wait_until(is_back, 60, lambda: f"{baseline} again; {more}")
    assert worker.stop() == 0


def _settled(look: Callable[[], Held]) -> Held:
    """The reading after which nothing changes any more: connections that idled are closed."""
    readings = [look()]

    def stands() -> bool:
        readings.append(look())
        return len({(one.files, one.threads) for one in readings[-20:]}) == 1 and len(readings) > 100

    wait_until(stands, 60, lambda: f"a stable number of files and threads: {readings[-5:]}")
    return readings[-1]
