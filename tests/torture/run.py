"""The run itself: strikes as the schedule says, keeps work in supply, looks at the books, and lets all of it end.

One thread. Nothing here waits for a worker to notice anything: each turn of the loop does what has come due.
"""

import json
import os
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
from tests.torture.machines import Machine
from tests.torture.recovery import Recovery
from tests.torture.samples import sample
from tests.torture.schedule import TO_WORKERS, Blow
from tests.torture.stage import CAPS, DOWNLOAD_S, Stage
from tests.torture.supply import Lot, Supply

AWAY = (psycopg.OperationalError, psycopg.errors.AdminShutdown, OperationalError)
"""What reading the ledger raises while its server is down."""
TURN_S, LOOK_EVERY_S, SAMPLE_EVERY_S, SUPPLY_EVERY_S = 0.03, 0.2, 2.0, 1.0
UNFINISHED = """
SELECT jobs.batch_id AS batch, count(*) AS jobs FROM jobs JOIN batches ON batches.id = jobs.batch_id
WHERE (jobs.state = 'queued' AND batches.state = 'open') OR jobs.state = 'running' GROUP BY jobs.batch_id
"""
LEFT = "SELECT count(*) AS jobs FROM jobs WHERE state IN ('queued', 'running')"
OPEN_BEFORE = "SELECT count(*) AS attempts FROM attempts WHERE outcome IS NULL AND admitted_at < {:.0f}"
FINE = {0, 3, 4}
"""Exit codes of a worker that ended as asked, or whose batch ended, in whatever state."""


@dataclass(slots=True)
class Log:
    """What a run did and found."""

    done: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    violations: list[str] = field(default_factory=list)
    odd_exits: list[str] = field(default_factory=list)
    closed_after_s: float | None = None
    """After the last fault, until nothing was open that had been admitted before it."""
    drained_after_s: float | None = None


class Run:
    """One torture. `go` strikes and then drains."""

    def __init__(self, stage: Stage, supply: Supply, random: Random, keep_jobs: int) -> None:
        self.stage = stage
        self.supply = supply
        self.log = Log()
        self.recovery = Recovery(stage.books)
        self._random = random
        self._keep_jobs = keep_jobs
        self._machines = [Machine(number) for number in range(1, stage.machines + 1)]
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._postgres_back_s = 0.0
        self._redis_thaws_s = 0.0
        self._pending: list[tuple[Lot, Child, float | None]] = []
        self._deciding: list[Child] = []
        self._unfinished: list[str] = []
        self._next: dict[str, float] = {}

    def go(self, blows: list[Blow], seconds: float) -> None:
        began_s = time.monotonic()
        waiting = list(reversed(blows))
        while (passed_s := time.monotonic() - began_s) < seconds:
            if waiting and waiting[-1].at_s <= passed_s and self._strike(waiting[-1]):
                waiting.pop()
            self._turn()
        self._let_go()

    def drain(self, within_s: float) -> None:
        """No more faults: everything must end or be held, and soon."""
        self.stage.set_faults({})
        self._resume_everything()
        last_fault_ms, began_s = time.time() * 1000, time.monotonic()
        while time.monotonic() - began_s < within_s:
            self._turn(supply=False)
            if self.log.closed_after_s is None and not self._number(OPEN_BEFORE.format(last_fault_ms)):
                self.log.closed_after_s = time.monotonic() - began_s
            if not self._number(LEFT):
                self.log.drained_after_s = time.monotonic() - began_s
                break
        else:
            self.log.violations.append(f"jobs are left after {within_s:.0f} s without faults: {self._unfinished}")
        self._stop_workers()
        self._look()

    @property
    def bound_s(self) -> float:
        """Within which whatever was open must be closed: a lease, the longest call, two sweeps."""
        sweep_s = self.stage.lease_s / 4
        return self.stage.lease_s + float(str(CAPS["deadline_s"])) + DOWNLOAD_S + 2 * sweep_s

    def _turn(self, *, supply: bool = True) -> None:
        now_s = time.monotonic()
        for moment_s, act in [one for one in self._later if one[0] <= now_s]:
            self._later.remove((moment_s, act))
            act()
        self._tend_machines(now_s)
        self._tend_submissions(now_s)
        self._tend_decisions()
        self._every("look", LOOK_EVERY_S, self._look)
        self._every("sample", SAMPLE_EVERY_S, self._sample)
        self._every("supply", SUPPLY_EVERY_S, lambda: self._count_supply(supply))
        time.sleep(TURN_S)

    def _every(self, name: str, every_s: float, act: Callable[[], None]) -> None:
        if time.monotonic() < self._next.get(name, 0.0):
            return
        try:
            act()
        except AWAY as error:
            if self.stage.postgres is None or time.monotonic() > self._postgres_back_s + 30:
                self.log.violations.append(f"the ledger cannot be read: {error}")
        self._next[name] = time.monotonic() + every_s

    def _look(self) -> None:
        self.recovery.look()

    def _sample(self) -> None:
        self.log.violations += sample(self.stage.books, self.stage.journal)
        self.log.samples += 1

    # Workers

    def _tend_machines(self, now_s: float) -> None:
        for machine in self._machines:
            child = machine.child
            if child is not None and child.exit_code is not None:
                self._ended(machine, child)
            elif machine.thaws_at_s is not None and now_s >= machine.thaws_at_s:
                machine.thaw()
            elif machine.overdue:
                self.log.violations.append(f"worker {child and child.pid} did not end after SIGTERM")
                self._kill(machine, 0.0)
            if machine.may_start:
                self._start(machine)

    def _start(self, machine: Machine) -> None:
        if self.stage.pair == "postgres":
            machine.put(self.stage.start_worker(machine.number, ["work"]))
        elif self._unfinished:
            batch = self._random.choice(self._unfinished[:2])
            machine.put(self.stage.start_worker(machine.number, ["run", batch, "--json"]))

    def _ended(self, machine: Machine, child: Child) -> None:
        """By itself, or because it was asked to."""
        young = machine.started_s < self._postgres_back_s + 2
        if child.exit_code not in FINE and not (self.stage.postgres and young):
            self.log.odd_exits.append(
                f"{' '.join(child.start.arguments)}: exit {child.exit_code}, {child.start.log}"
            )
        self.log.done["ended"] += 1
        machine.clear(0.0 if child.exit_code == 0 else 0.5)

    def _kill(self, machine: Machine, back_s: float) -> None:
        assert machine.child is not None
        machine.child.kill()
        self.log.done["kills"] += 1
        self.recovery.killed(machine.child.pid)
        machine.clear(back_s)
        self._next["look"] = 0.0  # what it held is read before others close it

    # Blows

    def _strike(self, blow: Blow) -> bool:
        """False: nobody is there to be hit, try again the next turn."""
        hit = self._hit_worker(blow) if blow.kind in TO_WORKERS else getattr(self, f"_{blow.kind}")(blow)
        self.log.done[blow.kind] += bool(hit)
        return bool(hit)

    def _hit_worker(self, blow: Blow) -> bool:
        victims = [machine for machine in self._machines if machine.hittable]
        if not victims:
            return False
        victim = victims[int(blow.pick * len(victims))]
        match blow.kind:
            case "kill_all":
                for machine in victims:  # with nobody left, recovery begins with the next start
                    self._kill(machine, min(blow.back_s, 0.5))
            case "kill_twice":
                self._kill(victim, 0.0)
                self._after(blow.lasts_s / 8, lambda: self._kill_if_up(victim))
            case "term":
                victim.terminate()
            case "freeze":
                victim.freeze(blow.lasts_s)
            case "freeze_then_kill":
                victim.freeze(blow.lasts_s + 1)
                self._after(blow.lasts_s, lambda: self._kill_if_up(victim))
            case _:
                self._kill(victim, blow.back_s)
        return True

    def _kill_if_up(self, machine: Machine) -> None:
        if machine.child is not None and machine.child.exit_code is None and machine.terminated_s is None:
            self._kill(machine, 0.0)

    def _after(self, wait_s: float, act: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + wait_s, act))

    def _redis_flush(self, _blow: Blow) -> bool:
        assert self.stage.redis is not None
        if time.monotonic() < self._redis_thaws_s:
            return False
        self.stage.redis.flushall()
        return True

    def _redis_restart(self, _blow: Blow) -> bool:
        assert self.stage.redis is not None
        self.stage.redis.crash()
        self.stage.redis.start()
        return True

    def _redis_freeze(self, blow: Blow) -> bool:
        redis = self.stage.redis
        assert redis is not None
        pid = redis.pid
        _signal(pid, signal.SIGSTOP)
        self._redis_thaws_s = time.monotonic() + blow.lasts_s + 0.1
        self._after(blow.lasts_s, lambda: _signal(pid, signal.SIGCONT))
        return True

    def _postgres_crash(self, blow: Blow) -> bool:
        postgres = self.stage.postgres
        assert postgres is not None
        if not postgres.running:
            return True
        postgres.crash()
        self._postgres_back_s = time.monotonic() + blow.lasts_s
        self._after(blow.lasts_s, self._start_postgres)
        return True

    def _start_postgres(self) -> None:
        assert self.stage.postgres is not None
        self.stage.postgres.start()
        self._postgres_back_s = time.monotonic()

    # People

    def _decide(self, blow: Blow, *words: str) -> bool:
        """A command on one of the last batches. It may find nothing to move, or the ledger away."""
        lots = self.supply.accepted[-12:]
        if not lots or (self.stage.postgres and not self.stage.postgres.running):
            return True
        lot = lots[int(blow.pick * len(lots))]
        verb, *flags = words
        lot.retries += verb == "retry"
        self._deciding.append(self.stage.start([verb, str(lot.batch), *flags]))
        return True

    def _tend_decisions(self) -> None:
        for child in [one for one in self._deciding if one.exit_code is not None]:
            self._deciding.remove(child)
            if child.exit_code not in (0, 1):
                self.log.odd_exits.append(f"{' '.join(child.start.arguments)}: exit {child.exit_code}")

    def _pause(self, blow: Blow) -> bool:
        return self._decide(blow, "pause")

    def _resume(self, blow: Blow) -> bool:
        return self._decide(blow, "resume")

    def _cancel(self, blow: Blow) -> bool:
        return self._decide(blow, "cancel", "--yes")

    def _retry_held(self, blow: Blow) -> bool:
        return self._decide(blow, "retry", "--held", "--yes")

    def _retry_failed(self, blow: Blow) -> bool:
        return self._decide(blow, "retry", "--failed", "--yes")

    def _submit_killed(self, blow: Blow) -> bool:
        """Killed somewhere on its way; the same command again must find or make the same batch."""
        self._submit(self.supply.next_lot(), kill_after_s=blow.pick * 0.8)
        return True

    def _submit_twice(self, blow: Blow) -> bool:
        lots = self.supply.accepted
        if lots:
            self._submit(lots[int(blow.pick * len(lots))])
        return True

    # Supply

    def _count_supply(self, supply: bool) -> None:
        rows = self.stage.books.ask(UNFINISHED)
        self._unfinished = [row["batch"] for row in sorted(rows, key=lambda row: str(row["batch"]))]
        left = sum(int(row["jobs"]) for row in rows) + sum(lot.rows for lot, _, _ in self._pending)
        if supply and left < self._keep_jobs:
            self._submit(self.supply.next_lot())

    def _submit(self, lot: Lot, kill_after_s: float | None = None) -> None:
        kill_at_s = None if kill_after_s is None else time.monotonic() + kill_after_s
        self._pending.append((lot, self.stage.start(lot.arguments), kill_at_s))

    def _tend_submissions(self, now_s: float) -> None:
        for one in list(self._pending):
            lot, child, kill_at_s = one
            if child.exit_code is not None:
                self._pending.remove(one)
                self._submitted(lot, child)
            elif kill_at_s is not None and now_s >= kill_at_s:
                child.kill()

    def _submitted(self, lot: Lot, child: Child) -> None:
        if child.exit_code == 0:
            lot.answered(json.loads(child.start.out.read_text().splitlines()[-1]))
        else:  # killed, or the ledger was away: a person would try again
            self.log.done["submissions repeated"] += 1
            self._after(0.5, lambda: self._submit(lot))

    # The end

    def _let_go(self) -> None:
        """Undo every fault that still lasts."""
        while self._later or self._pending or self._deciding:
            self._turn(supply=False)
        for machine in self._machines:
            if machine.thaws_at_s is not None:
                machine.thaw()

    def _resume_everything(self) -> None:
        """Budgets are raised and pauses lifted, so that every job can end."""
        for lot in self.supply.accepted:
            self.stage.run("resume", str(lot.batch), "--budget", "100000")

    def _number(self, query: str) -> int:
        (row,) = self.stage.books.ask(query)
        return int(next(iter(row.values())))

    def _stop_workers(self) -> None:
        up = [machine.child for machine in self._machines if machine.child is not None]
        for child in up:
            child.send(signal.SIGTERM)
        for child in up:
            if child.wait(60) not in FINE:
                self.log.odd_exits.append(f"{' '.join(child.start.arguments)}: exit {child.exit_code} at the end")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
