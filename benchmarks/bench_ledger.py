"""How fast the ledger admits and settles, durably, and what a job costs of Python's and of PostgreSQL's CPU time.

    sh scripts/bench ledger [--quick] [--only functions|executor|queue|age] [--json FILE]

functions   admit and settle alone, in groups of several sizes, by one and two processes, beside bare commits of
            single rows: the ceiling of whoever writes a row before and a row after each task
executor    the whole worker over an endpoint that answers at once: spool, threads and all, no HTTP
queue       what a job costs while 10^3 to 10^6 rows are queued
age         what a job costs while the tables fill, slice by slice

The far end is nothing, the ledger is real: PostgreSQL with fsync and synchronous_commit on, SQLite with
synchronous=FULL. Both share the machine's cores with the processes that use them.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.common import Report, Row, arguments, middle, spread
from benchmarks.ledger_load import BARE_TABLE, fill, ledger_program
from benchmarks.processes import cpu_s
from benchmarks.services import BenchPostgres, postgres
from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade

GROUPS = (1, 8, 32, 128)
JOBS_OF_GROUP = {1: 1_000, 8: 4_000, 32: 8_000, 128: 12_000}
BARE_JOBS = 3_000
EXECUTOR_JOBS = 24_000
IN_FLIGHT = 200
QUEUES = (1_000, 10_000, 100_000, 1_000_000)
QUEUE_JOBS = 800
WARM_JOBS = 96
GROUP = 32
QUEUE_ROUNDS, QUICK_ROUNDS = 5, 2
SLICES, SLICE_JOBS = 6, 8_000
QUICK_PART = 8
"""A quick run does this part of the jobs."""


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of database: how to get a new one, and the process whose CPU time is its own (None: no server)."""

    name: str
    new_url: Callable[[], str]
    server: int | None

    def server_cpu_s(self) -> float:
        return cpu_s([self.server]) if self.server else 0.0


@contextmanager
def places() -> Iterator[list[Place]]:
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imagemill-bench-ledger-")))
        numbers = itertools.count()
        yield [
            Place("PostgreSQL", lambda: _new_database(server), server.pid),
            Place("SQLite", lambda: _new_file(folder, next(numbers)), None),
        ]


def _new_database(server: BenchPostgres) -> str:
    server.make_template("ledger", _migrate)
    return server.new_database("ledger")


def _new_file(folder: Path, number: int) -> str:
    url = f"sqlite:///{folder}/{number}.db"
    _migrate(url)
    return url


def _migrate(url: str) -> None:
    ledger = Ledger(url)
    upgrade(ledger)
    ledger.close()


def run_programs(place: Place, url: str, commands: list[list[str]]) -> Row:
    """Several processes at once, started on one word; what they did together."""
    called = [sys.executable, "-m", "benchmarks.ledger_load"]
    with ExitStack() as stack:
        programs = [stack.enter_context(_program([*called, *command])) for command in commands]
        for program in programs:
            _say(program, url)
        for program in programs:
            if _hear(program) != "ready":
                raise SystemExit("a measured program did not start")
        server_s = place.server_cpu_s()
        for program in programs:
            _say(program, "go")
        done = [json.loads(_hear(program)) for program in programs]
        server_s = place.server_cpu_s() - server_s
    jobs = sum(one["jobs"] for one in done)
    python_ms, server_ms = 1000 * sum(one["cpu_s"] for one in done) / jobs, 1000 * server_s / jobs
    return {
        "jobs/s": jobs / max(one["seconds"] for one in done),
        "Python ms": python_ms,
        "server ms": server_ms if place.server else None,
        "CPU ms/job": python_ms + server_ms,
    }


@contextmanager
def _program(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _say(program: "subprocess.Popen[str]", line: str) -> None:
    assert program.stdin is not None
    program.stdin.write(line + "\n")
    program.stdin.flush()


def _hear(program: "subprocess.Popen[str]") -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


def measure_functions(place: Place, processes: int, group: int, part: int) -> Row:
    """Each process works on a batch of its own, as two workers with a batch each would."""
    url, jobs = place.new_url(), JOBS_OF_GROUP[group] // part
    ledger = Ledger(url)
    for number in range(processes):
        fill(ledger, f"b_{number}", jobs + WARM_JOBS)
    ledger.close()
    sizes = ["--jobs", str(jobs), "--group", str(group), "--warm", str(WARM_JOBS)]
    return run_programs(place, url, [["ledger", "--batch", f"b_{number}", *sizes] for number in range(processes)])


def measure_bare(place: Place, processes: int, part: int) -> Row:
    url, jobs = place.new_url(), BARE_JOBS // part
    ledger = Ledger(url)
    ledger.write(lambda tx: tx.exec_driver_sql(BARE_TABLE))
    ledger.close()
    firsts = [str(number * jobs) for number in range(processes)]
    return run_programs(place, url, [["bare", "--jobs", str(jobs), "--first", first] for first in firsts])


def functions(report: Report, all_places: list[Place], part: int) -> None:
    for place in all_places:
        for processes in (1, 2) if place.server else (1,):
            bare = measure_bare(place, processes, part)
            rows = [{"what": "bare: insert, commit, update, commit", **bare, "rate/bare": 1.0}]
            for group in GROUPS:
                taken = measure_functions(place, processes, group, part)
                rows.append(
                    {"what": f"admit and settle {group}", **taken, "rate/bare": taken["jobs/s"] / bare["jobs/s"]}
                )
            report.table(f"{place.name}, {processes} process(es): admit and settle through the ledger", rows)


def executor(report: Report, all_places: list[Place], part: int) -> None:
    rows = []
    for place in all_places:
        for processes in (1, 2) if place.server else (1,):
            url = place.new_url()
            ledger = Ledger(url)
            fill(ledger, "b_1", EXECUTOR_JOBS // part)
            ledger.close()
            with tempfile.TemporaryDirectory(prefix="imagemill-bench-executor-") as folder:
                command = ["executor", "--batch", "b_1", "--group", str(IN_FLIGHT), "--folder", folder]
                taken = run_programs(place, url, [command] * processes)
            rows.append({"ledger": place.name, "processes": processes, **taken})
            if processes == 2:
                report.goal(
                    "executor, null endpoint, PostgreSQL, 2 processes", taken["jobs/s"], ">=", 2_000, "jobs/s"
                )
    report.table(f"The whole executor over a null endpoint, {IN_FLIGHT} in flight per process", rows)


def queue(report: Report, place: Place, rounds: int, sizes: tuple[int, ...]) -> None:
    """All sizes in turn, round by round, so that whatever else the machine does meets all of them."""
    urls = {size: place.new_url() for size in sizes}
    for size, url in urls.items():
        ledger = Ledger(url)
        fill(ledger, "b_0", size)
        ledger.close()
        _settle_down(place, url)
    taken: dict[int, list[Row]] = {size: [] for size in sizes}
    for number in range(rounds):
        for size, url in urls.items():
            taken[size].append(_with_queue(place, url, size, number))
    rows = [_queue_row(size, taken[size], taken[sizes[0]]) for size in sizes]
    report.table(f"{place.name}, 1 process, groups of {GROUP}: cost of a job by rows in the queue", rows)
    report.goal(f"{place.name}: cost at {sizes[-1]:,} rows / at {sizes[0]:,}", rows[-1]["of the first"], "<=", 1.2)


def _with_queue(place: Place, url: str, size: int, number: int) -> Row:
    """One round. A short queue is used up by it: the next round finds a new one."""
    ledger = Ledger(url)
    batch_id = f"b_{number}" if size < 2 * QUEUE_JOBS else "b_0"
    if number and batch_id != "b_0":
        fill(ledger, batch_id, size)
    ledger.close()
    ledger_program(url, batch_id, WARM_JOBS, GROUP)()
    return _measured(place, ledger_program(url, batch_id, QUEUE_JOBS, GROUP))


def _measured(place: Place, run: Callable[[], int]) -> Row:
    server_s, own_s, started_s = place.server_cpu_s(), time.process_time(), time.monotonic()
    jobs = run()
    passed_s, own_s = time.monotonic() - started_s, time.process_time() - own_s
    server_s = place.server_cpu_s() - server_s
    return {"jobs/s": jobs / passed_s, "Python ms": 1000 * own_s / jobs, "server ms": 1000 * server_s / jobs}


def _queue_row(size: int, taken: list[Row], first: list[Row]) -> Row:
    costs, least = ([row["Python ms"] + row["server ms"] for row in rows] for rows in (taken, first))
    figures = {name: middle([row[name] for row in taken]) for name in taken[0]}
    return {
        "rows queued": size,
        **figures,
        "CPU ms/job": middle(costs),
        "spread": spread(costs),
        "of the first": middle(costs) / middle(least),
    }


def _settle_down(place: Place, url: str) -> None:
    """What autovacuum and a checkpoint do within minutes of a submission, done now."""
    if place.server:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) jobs")
            connection.execute("CHECKPOINT")


def age(report: Report, place: Place, part: int) -> None:
    """One process, one batch, no statistics at the start: tables and indexes grow from nothing."""
    url, jobs = place.new_url(), SLICE_JOBS // part
    ledger = Ledger(url)
    fill(ledger, "b_1", SLICES * jobs)
    ledger.close()
    rows: list[Row] = []
    for number in range(SLICES):
        taken = _measured(place, ledger_program(url, "b_1", jobs, GROUP))
        cost = taken["Python ms"] + taken["server ms"]
        first = rows[0]["CPU ms/job"] if rows else cost
        rows.append({"jobs before": number * jobs, **taken, "CPU ms/job": cost, "of the first": cost / first})
    report.table(f"{place.name}, 1 process, groups of {GROUP}: cost of a job as the tables fill", rows)
    report.goal(f"{place.name}: cost of the last slice / of the first", rows[-1]["of the first"], "<=", 1.2)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=["functions", "executor", "queue", "age"])
    chosen = parser.parse_args()
    report = Report("ledger", chosen)
    part = QUICK_PART if chosen.quick else 1
    with places() as all_places:
        if chosen.only in (None, "functions"):
            functions(report, all_places, part)
        if chosen.only in (None, "executor"):
            executor(report, all_places, part)
        for place in all_places:
            if chosen.only in (None, "queue"):
                rounds = QUICK_ROUNDS if chosen.quick else QUEUE_ROUNDS
                queue(report, place, rounds, QUEUES[:3] if chosen.quick else QUEUES)
            if chosen.only in (None, "age"):
                age(report, place, part)
    report.finish()


if __name__ == "__main__":
    main()
