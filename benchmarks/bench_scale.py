"""Scale-out: more workers, more hosts, what each of them costs the ledger and the broker, and the ledger by itself.

    sh scripts/bench scale [--quick] [--only workers|idle|ledger] [--json FILE]

Workers are `imagemill work` processes over PostgreSQL and Redis, against the simulator with half a second of
latency and small answers. A second host is a network namespace with a cable of its own, which needs root and
iproute2; without them its row is left out, and said. All share the cores of one machine: a fleet scales here until
these are used up.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import ledger_load, services
from benchmarks.common import Report, arguments
from benchmarks.hosts import ADDRESS, NETWORK, Host, hosts, missing
from benchmarks.ledger_costs import LOG_PREFIX, ServerCosts
from benchmarks.mill import Mill
from benchmarks.processes import cpu_s, pss_mb, wait_until
from benchmarks.steady import Run, Steady
from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.services import PostgresServer, RedisServer

ROOT = Path(__file__).parent.parent
LATENCY_S = 0.5
STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 200.0
STEADY_S, QUICK_STEADY_S = 16.0, 5.0
IDLE_S, QUICK_IDLE_S = 30.0, 10.0
IDLE_WORKERS = 4
GROUP = 32
LEDGER_JOBS, QUICK_LEDGER_JOBS = 6_400, 1_600
PROCESSES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Fleet:
    name: str
    workers: int
    in_flight: int
    """Of each worker."""
    hosts: int = 1

    @property
    def ideal(self) -> float:
        """Jobs a second, if nothing but the endpoint took time."""
        return self.workers * self.in_flight / LATENCY_S


ONE, TWO, FOUR, EIGHT = (Fleet(f"{count} worker{'s' * (count > 1)}", count, 50) for count in (1, 2, 4, 8))
TWO_HOSTS = Fleet("2 workers on 2 hosts", 2, 50, hosts=2)
FULL = Fleet("4 workers, all they can", 4, 400)


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers, and the other hosts that reach them at `address`."""

    postgres: PostgresServer
    redis: RedisServer
    address: str
    hosts: Sequence[Host]
    home: Path

    @contextmanager
    def ledger(self, endpoint_url: str = "http://127.0.0.1:9/v1") -> Iterator[tuple[Mill, ServerCosts]]:
        """A new ledger with nothing in it, and an empty broker."""
        url = self.postgres.new_database()
        self.redis.flushall()
        folder = Path(tempfile.mkdtemp(dir=self.home))
        mill = Mill(folder, self._outside(url), self._outside(self.redis.url), endpoint_url)
        try:
            with ServerCosts(self.postgres, url, self.redis) as costs:
                yield mill, costs
        finally:
            mill.close()
            self.postgres.drop_database(url)

    @contextmanager
    def workers(self, mill: Mill, fleet: Fleet) -> Iterator[list[int]]:
        """The fleet, registered and idle; its pids."""
        with ExitStack() as stack:
            pids = []
            for number in range(fleet.workers):
                prefix = self.hosts[number % fleet.hosts].prefix if fleet.hosts > 1 else ()
                worker = mill.worker(f"worker-{number}", fleet.in_flight, prefix=prefix)
                pids.append(stack.enter_context(worker).pid)
            wait_until(lambda: mill.live_workers() == fleet.workers, STARTS_WITHIN_S, "the workers' start")
            yield pids

    def _outside(self, url: str) -> str:
        return url.replace("@127.0.0.1:", f"@{self.address}:")


@contextmanager
def servers(report: Report) -> Iterator[Stage]:
    hindered = missing()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT)))
        if hindered:
            report.note(f"left out: other hosts: {hindered}")
        others = [] if hindered else stack.enter_context(hosts(2))
        addresses = ["127.0.0.1"] + ([ADDRESS] if others else [])
        settings = {"listen_addresses": ",".join(addresses), "log_line_prefix": LOG_PREFIX}
        postgres = stack.enter_context(services.postgres(**settings))
        redis = stack.enter_context(services.redis("--bind", *addresses))
        if others:
            _let_in(postgres)
        yield Stage(postgres, redis, addresses[-1], others, home)


def _let_in(postgres: PostgresServer) -> None:
    """The other hosts, by password."""
    with (postgres.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NETWORK} scram-sha-256\n")
    with psycopg.connect(postgres.url(), autocommit=True) as sql:
        sql.execute("SELECT pg_reload_conf()")


def scale_out(stage: Stage, report: Report, quick: bool) -> None:
    fleets = [ONE, TWO, FOUR, EIGHT, *([TWO_HOSTS] if stage.hosts else []), FULL]
    rows: list[dict[str, Any]] = []
    rates: dict[Fleet, float] = {}
    with services.simulator("--host", stage.address, latency_s=LATENCY_S) as simulator:
        for fleet in fleets:
            with stage.ledger(simulator.url) as (mill, costs):
                steady = _run_fleet(stage, mill, costs, fleet, simulator.pid, quick)
                if fleet is FOUR:
                    sizes = _sizes(costs)
            rates[fleet] = steady.jobs_per_s
            rows.append(_fleet_row(fleet, steady, rates[ONE]))
    report.table(f"Scale-out, {LATENCY_S} s latency, small answers", rows)
    report.table("Rows and bytes on disk per job (one attempt, one image each; nothing vacuumed)", sizes)
    report.goal("jobs/s of 4 workers over 4 x those of one", rates[FOUR] / (4 * rates[ONE]), ">=", 0.95)
    if stage.hosts:
        report.goal("jobs/s of 2 hosts over those of 2 workers on one", rates[TWO_HOSTS] / rates[TWO], ">=", 0.95)


def _run_fleet(stage: Stage, mill: Mill, costs: ServerCosts, fleet: Fleet, simulator: int, quick: bool) -> Steady:
    open_calls = fleet.workers * fleet.in_flight
    jobs = 2 * open_calls + round(min(fleet.ideal, 800) * (QUICK_STEADY_S if quick else STEADY_S))
    with stage.workers(mill, fleet) as pids:
        mill.submit(jobs)
        parties = {"workers": pids, "PostgreSQL": [stage.postgres.pid], "Redis": [stage.redis.pid]}

        def counters() -> Mapping[str, float]:
            told = dict(costs.read())
            return told | {"transactions": told["transactions"] - mill.looks}

        run = Run(parties | {"simulator": [simulator]}, mill.ended, counters)
        return run.observe(jobs, open_calls, ENDS_WITHIN_S)


def _fleet_row(fleet: Fleet, steady: Steady, one: float) -> dict[str, Any]:
    cores = sum(steady.cpu_ms.values()) * steady.jobs_per_s / 1000
    return {
        "fleet": fleet.name,
        "in flight": fleet.workers * fleet.in_flight,
        "jobs/s": steady.jobs_per_s,
        "of ideal": steady.jobs_per_s / fleet.ideal,
        "x one": steady.jobs_per_s / one,
        **{f"{name} ms": each for name, each in steady.cpu_ms.items()},
        "cores": cores,
        "tx/job": steady.counted["transactions"],
        "WAL B/job": steady.counted["WAL bytes"],
        "Redis cmd/job": steady.counted["Redis commands"],
        "Redis B/job": steady.counted["Redis bytes"],
    }


def _sizes(costs: ServerCosts) -> list[dict[str, Any]]:
    tables = costs.tables()
    jobs = next(one.rows for one in tables if one.name == "jobs")
    figures = {
        one.name: {
            "rows/job": one.rows / jobs,
            "table B/job": one.table_bytes / jobs,
            "index B/job": one.index_bytes / jobs,
        }
        for one in tables
        if one.rows >= jobs / 2
    }
    together = {name: sum(each[name] for each in figures.values()) for name in figures["jobs"]}
    return [{"table": name, **each} for name, each in [*figures.items(), ("together", together)]]


def idle(stage: Stage, report: Report, quick: bool) -> None:
    """What workers with nothing to do ask of the servers."""
    seconds = QUICK_IDLE_S if quick else IDLE_S
    with stage.ledger() as (mill, costs):
        none = _idle_costs(stage, costs, [], seconds)
        with stage.workers(mill, Fleet("idle", IDLE_WORKERS, 32)) as pids:
            some = _idle_costs(stage, costs, pids, seconds)
            some["connections"] = float(costs.connections() - 1)  # without the benchmark's own
            some["statements/s"] = _statements(costs, seconds)
            some["PSS MB"] = pss_mb(pids)
    each = {name: (figure - none.get(name, 0.0)) / IDLE_WORKERS for name, figure in some.items()}
    shown = {"no worker": none, f"{IDLE_WORKERS} workers": some, "one more worker": each}
    report.table("Idle workers", [{"": name, **figures} for name, figures in shown.items()])


def _idle_costs(stage: Stage, costs: ServerCosts, pids: Sequence[int], seconds: float) -> dict[str, float]:
    parties = {"PostgreSQL": [stage.postgres.pid], "Redis": [stage.redis.pid], "worker": list(pids)}

    def read() -> dict[str, float]:
        cpu = {f"{name} CPU ms/s": 1000 * cpu_s(who) for name, who in parties.items()}
        return cpu | {f"{name}/s": count for name, count in costs.read().items()}

    began, began_s = read(), time.monotonic()
    time.sleep(seconds)
    ended = read()
    passed_s = time.monotonic() - began_s
    return {name: (ended[name] - began[name]) / passed_s for name in began}


def _statements(costs: ServerCosts, seconds: float) -> float:
    costs.log_statements(True)
    before, began_s = costs.statements(), time.monotonic()
    time.sleep(seconds)
    per_s = (costs.statements() - before) / (time.monotonic() - began_s)
    costs.log_statements(False)
    return per_s


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


PARTS = {"workers": scale_out, "idle": idle, "ledger": ledger_alone}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=sorted(PARTS), help="one part instead of all")
    chosen: argparse.Namespace = parser.parse_args()
    report = Report("scale", chosen)
    with servers(report) as stage:
        for name, part in PARTS.items():
            if chosen.only in (None, name):
                part(stage, report, chosen.quick)
    report.finish()


if __name__ == "__main__":
    main()
