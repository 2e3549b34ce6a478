"""The run itself: strikes as the schedule says, keeps work in supply, looks at the books, and lets all of it end.

One thread. Nothing here waits for a worker to notice anything: each turn of the loop does what has come due.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from sqlite3 import OperationalError

import psycopg

from tests.torture.children import Child
from tests.torture.doom import worker_doom
from tests.torture.people import People
from tests.torture.recovery import Recovery
from tests.torture.samples import sample
from tests.torture.schedule import BY_PEOPLE, TO_WORKERS, Blow
from tests.torture.servers import Servers
from tests.torture.stage import CAPS, DOWNLOAD_S, Stage
from tests.torture.supply import Supply
from tests.torture.timers import Timers
from tests.torture.workers import Workers

AWAY = (psycopg.OperationalError, OperationalError)
"""What reading the ledger raises while its server is down."""
STANDSTILL_S = 180.0
"""Without faults no wait of a job is longer: a lease, then its back-off."""
TURN_S, LOOK_EVERY_S, SAMPLE_EVERY_S, SUPPLY_EVERY_S = 0.03, 0.2, 2.0, 1.0
UNFINISHED = """
SELECT jobs.batch_id AS batch, count(*) AS jobs FROM jobs JOIN batches ON batches.id = jobs.batch_id
WHERE (jobs.state = 'queued' AND batches.state = 'open') OR jobs.state = 'running'
GROUP BY jobs.batch_id, batches.opened_at ORDER BY batches.opened_at
"""
LEFT = """
SELECT count(*) AS jobs FROM jobs JOIN batches ON batches.id = jobs.batch_id
WHERE jobs.state IN ('queued', 'running') AND batches.state <> 'loading'
"""
"""What a killed submission had staged is no job yet."""
OPEN_BEFORE = "SELECT count(*) AS attempts FROM attempts WHERE outcome IS NULL AND admitted_at < {:.0f}"
FINE = {0, 3, 4, 130}
"""Exit codes of a worker that ended as asked, with work left or not, or whose batch ended, in whatever state."""


@dataclass(slots=True)
class Log:
    """What a run did and found."""

    done: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    violations: list[str] = field(default_factory=list)
    closed_after_s: float | None = None
    """After the last fault, until nothing was open that had been admitted before it."""
    drained_after_s: float | None = None


class Run:
    """One torture: `go` strikes, `drain` lets everything end."""

    def __init__(self, stage: Stage, supply: Supply, random: Random, keep_jobs: int) -> None:
        self.log = Log()
        self.recovery = Recovery(stage.books)
        self._stage = stage
        self._supply = supply
        self._random = random
        self._keep_jobs = keep_jobs
        self._timers = Timers()
        self._servers = Servers(stage.postgres, stage.redis, self._timers)
        self._people = People(stage, supply, self._timers, self.log.done)
        self._workers = Workers(stage.machines, self._timers, self.log.done, self._start, self._killed, self._ended)
        self._unfinished: list[str] = []
        self._striking = False

    @property
    def bound_s(self) -> float:
        """Within which whatever was open must be closed: a lease, the longest call, two sweeps."""
        sweep_s = self._stage.lease_s / 4
        return self._stage.lease_s + float(str(CAPS["deadline_s"])) + DOWNLOAD_S + 2 * sweep_s

    def go(self, blows: list[Blow], seconds: float) -> None:
        began_s = time.monotonic()
        waiting = list(reversed(blows))
        self._striking = True
        while (passed_s := time.monotonic() - began_s) < seconds:
            if waiting and waiting[-1].at_s <= passed_s and self._strike(waiting[-1]):
                self.log.done[waiting.pop().kind] += 1
            self._turn()
        self._striking = False
        while not (self._timers.empty and self._people.idle):
            self._turn(supply=False)
        self._workers.let_go()

    def drain(self) -> None:
        """No more faults: job after job must end or be held, until none is left. How many there are depends on what
        people had paused."""
        self._stage.set_faults({})
        self._people.resume_everything()
        last_fault_ms = time.time() * 1000
        began_s = moved_s = time.monotonic()
        left = fewest = self._number(LEFT)
        while (left or self.log.closed_after_s is None) and time.monotonic() - moved_s < STANDSTILL_S:
            self._turn(supply=False)
            left = self._number(LEFT)
            if self.log.closed_after_s is None and not self._number(OPEN_BEFORE.format(last_fault_ms)):
                self.log.closed_after_s = time.monotonic() - began_s
            if left < fewest:
                fewest, moved_s = left, time.monotonic()
        if left:
            self.log.violations.append(f"{left} jobs are left, none ends any more: {self._unfinished}")
        else:
            self.log.drained_after_s = time.monotonic() - began_s
        for child in self._workers.stop(60):
            self._ended(child)
        self._read(self.recovery.look)
        self.log.violations += self._people.odd_exits

    def _strike(self, blow: Blow) -> bool:
        """False: it cannot be done now; try again the next turn."""
        if blow.kind in TO_WORKERS:
            return self._workers.hit(blow)
        if blow.kind in BY_PEOPLE:
            self._people.act(blow)
            return True
        return self._servers.hit(blow)

    def _turn(self, *, supply: bool = True) -> None:
        self._timers.run_due()
        self._workers.tend()
        self._people.tend()
        self._timers.every("look", LOOK_EVERY_S, lambda: self._read(self.recovery.look))
        self._timers.every("sample", SAMPLE_EVERY_S, lambda: self._read(self._sample))
        self._timers.every("supply", SUPPLY_EVERY_S, lambda: self._read(lambda: self._count_supply(supply)))
        time.sleep(TURN_S)

    def _read(self, act: Callable[[], None]) -> None:
        """Something that asks the ledger, which may be away only when we made it so."""
        try:
            act()
        except AWAY as error:
            if self._servers.ledger_up:
                self.log.violations.append(f"the ledger cannot be read: {error}")

    def _number(self, query: str) -> int:
        (row,) = self._stage.books.ask(query)
        return int(next(iter(row.values())))

    def _sample(self) -> None:
        self.log.violations += sample(self._stage.books, self._stage.journal)
        self.log.samples += 1

    def _count_supply(self, supply: bool) -> None:
        rows = self._stage.books.ask(UNFINISHED)
        self._unfinished = [row["batch"] for row in rows]
        left = sum(int(row["jobs"]) for row in rows) + self._people.rows_under_way
        if supply and left < self._keep_jobs:
            self._people.submit(self._supply.next_lot())

    def _start(self, machine: int) -> Child | None:
        doom = worker_doom(self._random) if self._striking else None
        if self._stage.pair == "postgres":
            return self._stage.start_worker(machine, ["work"], doom)
        if not self._unfinished:
            return None
        batch = self._random.choice(self._unfinished[:3])
        return self._stage.start_worker(machine, ["run", batch, "--json"], doom)

    def _killed(self, child: Child) -> None:
        self.recovery.killed(child.pid)
        self._read(self.recovery.look)  # what it held, before others close it

    def _ended(self, child: Child) -> None:
        """By itself, or because it was asked to: also before it had begun, because the ledger was away, or when it
        had signed off and was writing its report."""
        rows = f"SELECT count(*) FROM workers WHERE pid = {child.pid}"
        begun = up = False
        with suppress(*AWAY):
            begun, up = self._number(rows) > 0, self._number(f"{rows} AND ended_at IS NULL") > 0
        too_early = child.exit_code in (1, -signal.SIGTERM) and not begun
        too_late = child.exit_code == -signal.SIGTERM and not up
        if child.exit_code not in FINE and not (too_early or too_late):
            self.log.violations.append(f"{child}: exit {child.exit_code}, {child.start.log}")
        self.log.done["workers that could not start"] += too_early
