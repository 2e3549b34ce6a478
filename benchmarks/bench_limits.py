"""Four worker processes at an endpoint that allows 50 images a minute and no bursts, beside what else people do.

    sh scripts/bench limits [--quick] [--only WORDS] [--json FILE]

Each case has a simulator of its own, which counts; each of imagemill's a ledger on PostgreSQL, tickets on Redis and
four `imagemill work` processes, with more rows than can be called. All cases run at once: they wait for nearly all
of the time. The whole of it takes six minutes (--quick: two, which are no proof).
"""

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks import services
from benchmarks.common import Report, Row, arguments
from benchmarks.mill import Mill
from benchmarks.processes import wait_until
from tests.services import PostgresServer, RedisServer

PER_MINUTE = 50
PROCESSES = 4
IN_FLIGHT = 32
"""Of each process."""
LATENCY_S = 10.0
CONVERGED_S = 60.0
"""A limit that nobody names is looked for so long; what is counted comes after."""
STORM_S = 30.0
BACK_WITHIN_S = 60.0
USED, TURNED_AWAY = 0.95, 0.02
STARTS_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    told: str = "headers"
    """What the simulator says of its limits."""
    stated: bool = False
    """Whether IMAGEMILL_IMAGES_PER_MINUTE says it."""
    storm: bool = False
    peer: str = ""
    after_s: float = 0.0
    goals: bool = True


CASES = (
    Case("imagemill, limit stated", stated=True),
    Case("imagemill, limit in headers", after_s=CONVERGED_S),
    Case("imagemill, limit learned from 429s with advice", told="advice", after_s=CONVERGED_S),
    Case("imagemill, limit learned from bare 429s", told="nothing", after_s=CONVERGED_S),
    Case("imagemill, limit stated, a storm", stated=True, storm=True),
    Case("a bucket in each process, a quarter of the limit", peer="bucket", goals=False),
    Case("the SDK, retrying", peer="retry", goals=False),
)


@dataclass(frozen=True, slots=True)
class Call:
    at_s: float
    let_in: bool


@dataclass(frozen=True, slots=True)
class Course:
    """What the endpoint saw in one case, in seconds since its first call."""

    calls: Sequence[Call]
    storm_ended_s: float = 0.0

    def used(self, from_s: float, to_s: float) -> float:
        return sum(call.let_in for call in self._between(from_s, to_s)) / (PER_MINUTE * (to_s - from_s) / 60)

    def turned_away(self, from_s: float, to_s: float) -> float:
        calls = self._between(from_s, to_s)
        return sum(not call.let_in for call in calls) / max(1, len(calls))

    def count(self, from_s: float, to_s: float) -> int:
        return len(self._between(from_s, to_s))

    def back_after_s(self) -> float:
        """From the end of the storm to the first call that begins half a minute at 95 % of the limit."""
        let_in = [call.at_s for call in self.calls if call.let_in and call.at_s > self.storm_ended_s]
        enough = int(USED * PER_MINUTE / 2)
        for first, last in zip(let_in, let_in[enough:], strict=False):
            if last - first <= 30:
                return first - self.storm_ended_s
        return float("inf")

    def _between(self, from_s: float, to_s: float) -> list[Call]:
        return [call for call in self.calls if from_s <= call.at_s < to_s]


@dataclass(frozen=True, slots=True)
class Stage:
    postgres: PostgresServer
    redis: RedisServer
    home: Path
    seconds: float
    ready: threading.Barrier

    def run(self, case: Case) -> Course:
        limits = ["--images-per-minute", str(PER_MINUTE), "--no-burst", "--limits-told", case.told]
        journal = self.home / f"{CASES.index(case)}.jsonl"
        limits += ["--journal", str(journal)]
        with services.simulator(*limits, latency_s=LATENCY_S) as simulator, ExitStack() as stack:
            if case.peer:
                self.ready.wait(STARTS_WITHIN_S)
                self._start_peers(case, simulator.url, stack)
            else:
                self._start_workers(case, simulator.url, stack)
            wait_until(lambda: journal.stat().st_size > 0, STARTS_WITHIN_S, "the first call")
            storm_ended = self._wait(case, simulator.url)
        return _course(journal, storm_ended)

    def _start_workers(self, case: Case, url: str, stack: ExitStack) -> None:
        """Workers first, idle; then a batch of more rows than can be called."""
        number = CASES.index(case)
        folder = Path(tempfile.mkdtemp(dir=self.home))
        database = self.postgres.new_database()
        mill = Mill(folder, database, f"{self.redis.url.rpartition('/')[0]}/{number + 1}", url)
        stack.callback(mill.close)
        own = {"IMAGEMILL_IMAGES_PER_MINUTE": str(PER_MINUTE)} if case.stated else {}
        for worker in range(PROCESSES):
            stack.enter_context(mill.worker(f"worker-{worker}", IN_FLIGHT, **own))
        wait_until(lambda: mill.live_workers() == PROCESSES, STARTS_WITHIN_S, "the workers' start")
        self.ready.wait(STARTS_WITHIN_S)
        mill.submit(round(3 * PER_MINUTE * self.seconds / 60))

    def _start_peers(self, case: Case, url: str, stack: ExitStack) -> None:
        words = ["--url", url, "--seconds", str(self.seconds + 5), "--in-flight", str(IN_FLIGHT)]
        words += ["--per-minute", str(PER_MINUTE / PROCESSES)]
        for _ in range(PROCESSES):
            command = [sys.executable, "-m", "benchmarks.limit_peers", case.peer, *words]
            stack.enter_context(services.program(command))

    def _wait(self, case: Case, url: str) -> float:
        """Until the time is over, with the storm if there is to be one; the moment at which it ended."""
        began_s, ended = time.monotonic(), 0.0
        if case.storm:
            time.sleep(self.seconds / 4)
            _set_faults(url, {"429 1": 1.0})
            time.sleep(STORM_S)
            _set_faults(url, {})
            ended = time.time()
        time.sleep(max(0.0, self.seconds + (STORM_S if case.storm else 0) - (time.monotonic() - began_s)))
        return ended


def _set_faults(url: str, rates: dict[str, float]) -> None:
    body = json.dumps({"fault_rates": rates}).encode()
    with urllib.request.urlopen(url.removesuffix("/v1") + "/sim/config", body, timeout=30):
        pass


def _course(journal: Path, storm_ended: float) -> Course:
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    calls = [line for line in lines if line["kind"] == "call"]
    arrived = [datetime.fromisoformat(line["arrived_at"]).timestamp() for line in calls]
    began = min(arrived)
    told = sorted((at - began, line["http_status"] == 200) for at, line in zip(arrived, calls, strict=True))
    return Course([Call(at_s, let_in) for at_s, let_in in told], storm_ended - began)


def _row(case: Case, course: Course, seconds: float) -> Row:
    row: dict[str, object] = {"case": case.name, "calls": course.count(case.after_s, seconds)}
    row["of the limit used"] = course.used(case.after_s, seconds)
    row["answered 429"] = course.turned_away(case.after_s, seconds)
    if case.after_s:
        row["used before"] = course.used(0, case.after_s)
        row["429s before"] = course.count(0, case.after_s) - round(
            course.used(0, case.after_s) * PER_MINUTE * case.after_s / 60
        )
    return row


def _judge(report: Report, case: Case, course: Course, seconds: float) -> None:
    if case.storm:
        back_s = course.back_after_s()
        report.goal(f"{case.name}: full speed back after", back_s, "<=", BACK_WITHIN_S, "s")
    elif case.goals:
        report.goal(f"{case.name}: used", course.used(case.after_s, seconds), ">=", USED)
        report.goal(f"{case.name}: answered 429", course.turned_away(case.after_s, seconds), "<=", TURNED_AWAY)


def measure(chosen: argparse.Namespace) -> None:
    seconds = 120.0 if chosen.quick else 300.0 + CONVERGED_S
    cases = [case for case in CASES if chosen.only in case.name]
    report = Report("limits", chosen)
    with (
        services.postgres(max_connections="300") as postgres,
        services.redis() as redis,
        tempfile.TemporaryDirectory(prefix="imagemill-limits-") as home,
        ThreadPoolExecutor(len(cases)) as pool,
    ):
        stage = Stage(postgres, redis, Path(home), seconds, threading.Barrier(len(cases)))
        courses = list(pool.map(stage.run, cases))
    told = list(zip(cases, courses, strict=True))
    calm = [_row(case, course, seconds) for case, course in told if not case.storm]
    if calm:
        report.table(f"{PROCESSES} processes, {PER_MINUTE} images a minute, no bursts, {seconds:.0f} s", calm)
    for case, course in told:
        if case.storm:
            starts = course.storm_ended_s - STORM_S
            row = {
                "before: used": course.used(0, starts),
                "calls in it": course.count(starts, course.storm_ended_s),
            }
            row["95 % again after s"] = course.back_after_s()
            row["used from a minute after"] = course.used(course.storm_ended_s + 60, seconds + STORM_S)
            report.table(f"nothing but 429 for {STORM_S:.0f} s", [row])
        _judge(report, case, course, seconds)
    report.finish()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="cases whose name contains this")
    measure(parser.parse_args())
