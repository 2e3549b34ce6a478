"""Scale-out: more workers, more hosts, what each of them costs the ledger and the broker, and the ledger by itself.

    sh scripts/bench scale [--quick] [--only workers|idle|lanes|ledger] [--json FILE]

Workers are `imagemill work` processes over PostgreSQL and Redis, against the simulator with half a second of
latency and small answers. A second host is a network namespace with a cable of its own, which needs root and
iproute2; without them its row is left out, and said. All share the cores of one machine: a fleet scales here until
these are used up.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import services
from benchmarks.common import Report, arguments
from benchmarks.fleet import LATENCY_S, Fleet, Stage, servers
from benchmarks.lanes import lanes, ledger_alone
from benchmarks.ledger_costs import ServerCosts
from benchmarks.mill import Mill
from benchmarks.processes import cpu_s, pss_mb
from benchmarks.steady import Run, Steady

ENDS_WITHIN_S = 200.0
STEADY_S, QUICK_STEADY_S = 16.0, 5.0
IDLE_S, QUICK_IDLE_S = 30.0, 10.0
IDLE_WORKERS = 4
MOST_JOBS_PER_S = 800
"""More than this machine makes of it: a fleet that is to show all it can gets work for so long."""

ONE, TWO, FOUR, EIGHT = (Fleet(f"{count} worker{'s' * (count > 1)}", count, 50) for count in (1, 2, 4, 8))
TWO_HOSTS = Fleet("2 workers on 2 hosts", 2, 50, hosts=2)
FULL = Fleet("4 workers, all they can", 4, 400)


def scale_out(stage: Stage, report: Report, quick: bool) -> None:
    fleets = [ONE, TWO, FOUR, *([TWO_HOSTS] if stage.hosts else []), EIGHT, FULL]
    rows: list[dict[str, Any]] = []
    rates: dict[Fleet, float] = {}
    with services.simulator("--host", stage.address, latency_s=LATENCY_S) as simulator:
        for fleet in fleets:
            with stage.ledger(simulator.url) as (mill, costs):
                steady = _run_fleet(stage, mill, costs, fleet, simulator.pid, quick)
                if fleet is FOUR:
                    sizes = _sizes(costs)
            rates[fleet] = steady.jobs_per_s
            print(f"  {fleet.name}: {steady.jobs_per_s:.0f} jobs/s", file=sys.stderr, flush=True)
            rows.append(_fleet_row(fleet, steady, rates[ONE]))
    report.table(f"Scale-out, {LATENCY_S} s latency, small answers", rows)
    report.table("Rows and bytes on disk per job (one attempt, one image each; nothing vacuumed)", sizes)
    report.goal("jobs/s of 4 workers over 4 x those of one", rates[FOUR] / (4 * rates[ONE]), ">=", 0.95)
    if stage.hosts:
        report.goal("jobs/s of 2 hosts over those of 2 workers on one", rates[TWO_HOSTS] / rates[TWO], ">=", 0.95)


def _run_fleet(stage: Stage, mill: Mill, costs: ServerCosts, fleet: Fleet, simulator: int, quick: bool) -> Steady:
    open_calls = fleet.workers * fleet.in_flight
    jobs = 2 * open_calls + round(min(fleet.ideal, MOST_JOBS_PER_S) * (QUICK_STEADY_S if quick else STEADY_S))
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


PARTS = {"workers": scale_out, "idle": idle, "lanes": lanes, "ledger": ledger_alone}


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
