"""The ledger by itself: how long its transactions take alone, and what more and more processes get out of it.

Called by bench_scale.py. Settlements of one batch, and admissions to it, wait for each other: together they are the
batch's lane, and their lengths say how many jobs a second go through it at most, however many workers there are.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import ledger_load
from benchmarks.common import Report, middle
from benchmarks.fleet import Stage
from benchmarks.ledger_costs import ServerCosts
from benchmarks.processes import cpu_s
from jobs.ids import new_worker_id
from jobs.ledger import recovery
from jobs.ledger.admission import Claimer, admit
from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from jobs.ledger.settlement import settle
from jobs.pacing import Caps

GROUP = 32
LEDGER_JOBS, QUICK_LEDGER_JOBS = 6_400, 1_600
PROCESSES = (1, 2, 4, 8)
LANE_GROUPS = (1, 8, 32, 128)
LANE_TURNS, QUICK_LANE_TURNS = 60, 15
WARM_TURNS = 10
"""Before a group's size is measured: statements are compiled and prepared."""


def lanes(stage: Stage, report: Report, quick: bool) -> None:
    """One process, one transaction after the other: the length of each kind by the size of its group."""
    turns = QUICK_LANE_TURNS if quick else LANE_TURNS
    url = stage.postgres.new_database()
    _prepare(url, 1, (turns + WARM_TURNS) * sum(LANE_GROUPS))
    ledger, worker = Ledger(url), new_worker_id()
    ledger.write(recovery.register_worker, worker, "bench", 0, worker)
    claimer = Claimer(worker, ledger_load.ENDPOINT, Caps(), 900_000)
    with ServerCosts(stage.postgres, url, stage.redis) as costs:
        rows = [_lane_row(stage, ledger, claimer, group, turns, costs) for group in LANE_GROUPS]
    ledger.close()
    stage.postgres.drop_database(url)
    report.table(f"The lane of one batch, medians of {turns} transactions of one process", rows)


def _lane_row(
    stage: Stage, ledger: Ledger, claimer: Claimer, group: int, turns: int, costs: ServerCosts
) -> dict[str, Any]:
    for _ in range(WARM_TURNS):
        _turn(ledger, claimer, group)
    postgres_s, python_s = cpu_s([stage.postgres.pid]), time.process_time()
    wal_bytes = costs.read()["WAL bytes"]
    taken = [_turn(ledger, claimer, group) for _ in range(turns)]
    admission_s, settlement_s = (middle(lengths) for lengths in zip(*taken, strict=True))
    jobs = group * turns
    return {
        "jobs a group": group,
        "admission ms": 1000 * admission_s,
        "settlement ms": 1000 * settlement_s,
        "jobs/s at most": group / (admission_s + settlement_s),
        "python ms/job": 1000 * (time.process_time() - python_s) / jobs,
        "PostgreSQL ms/job": 1000 * (cpu_s([stage.postgres.pid]) - postgres_s) / jobs,
        "WAL B/job": (costs.read()["WAL bytes"] - wal_bytes) / jobs,
    }


def _turn(ledger: Ledger, claimer: Claimer, group: int) -> tuple[float, float]:
    """Seconds of an admission, and of the settlement of what it admitted."""
    began_s = time.monotonic()
    admitted = ledger.write(admit, claimer, "batch-0", group).admitted
    admitted_s = time.monotonic()
    ledger.write(settle, [ledger_load.ending(one) for one in admitted], lambda job, ending: None)
    return admitted_s - began_s, time.monotonic() - admitted_s


def ledger_alone(stage: Stage, report: Report, quick: bool) -> None:
    """Admission and settlement by more and more processes, without calls: of one batch, and of a batch each."""
    jobs = QUICK_LEDGER_JOBS if quick else LEDGER_JOBS
    rows = []
    for processes in PROCESSES:
        for batches in sorted({1, processes}):
            rows.append(_ledger_row(stage, processes, batches, jobs))
    report.table(f"The ledger by itself, groups of {GROUP}, {jobs:,} jobs in all", rows)


def _ledger_row(stage: Stage, processes: int, batches: int, jobs: int) -> dict[str, Any]:
    url = stage.postgres.new_database()
    _prepare(url, batches, jobs // batches)
    with ServerCosts(stage.postgres, url, stage.redis) as costs, ExitStack() as stack:
        programs = [
            stack.enter_context(_program(url, f"batch-{number % batches}", jobs // processes))
            for number in range(processes)
        ]
        before_s, waits = cpu_s([stage.postgres.pid]), Counter[str]()
        with _sampling(costs, waits):
            told = _let_run(programs)
        postgres_s, deadlocks = cpu_s([stage.postgres.pid]) - before_s, costs.deadlocks()
    stage.postgres.drop_database(url)
    done = sum(one["jobs"] for one in told)
    samples = max(1, sum(waits.values()))
    locked = sum(count for what, count in waits.items() if what.startswith("Lock"))
    return {
        "processes": processes,
        "batches": batches,
        "jobs/s": done / max(one["seconds"] for one in told),
        "python ms": 1000 * sum(one["cpu_s"] for one in told) / done,
        "PostgreSQL ms": 1000 * postgres_s / done,
        "sessions in a lock": locked / samples,
        "deadlocks": deadlocks,
        "most waited for": next((what for what, _ in waits.most_common() if what != "running"), "nothing"),
    }


def _prepare(url: str, batches: int, rows: int) -> None:
    ledger = Ledger(url)
    upgrade(ledger)
    for number in range(batches):
        ledger_load.fill(ledger, f"batch-{number}", rows)
    ledger.close()


@contextmanager
def _program(url: str, batch_id: str, jobs: int) -> Iterator["subprocess.Popen[str]"]:
    """A process of ledger_load.py that is ready to run."""
    command = [sys.executable, "-m", "benchmarks.ledger_load", "ledger", "--batch", batch_id]
    command += ["--jobs", str(jobs), "--group", str(GROUP)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(url + "\n")
        process.stdin.flush()
        if process.stdout.readline().strip() != "ready":
            raise SystemExit("a ledger process did not start")
        yield process


def _let_run(programs: "Sequence[subprocess.Popen[str]]") -> list[dict[str, float]]:
    for one in programs:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    return [json.loads(one.stdout.readline()) for one in programs if one.stdout is not None]


@contextmanager
def _sampling(costs: ServerCosts, waits: Counter[str]) -> Iterator[None]:
    """What the sessions wait for, a few times a second."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.05):
            waits.update(costs.waiting())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
