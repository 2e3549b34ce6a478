"""One worker process at the wire: jobs/s, CPU ms per job and peak memory, beside bare loops and the official SDK.

    sh scripts/bench throughput [--quick] [--only WORDS] [--rounds N] [--json FILE]

The far end is the built-in simulator with pre-rendered answers, in a process of its own; the contestants of a case
run against the same one, in turn, so that the ratios are of one machine at one time. Everything is plain http on
the loopback: what TLS costs, about the same for all of them, is not measured. Figures are of the steady state.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import services
from benchmarks.common import Report, Row, arguments, in_turns, middles
from benchmarks.processes import cpu_s
from tests.services import PostgresServer

ROOT = Path(__file__).parent.parent
MILL, MILL_POSTGRES = "imagemill", "imagemill, PostgreSQL"
LOOPS = ("bare", "wholebody", "streamed")
SDKS = ("sdk", "sdk-aiohttp")
SDK_SHARE = 0.25
"""The SDK gets fewer jobs, and still takes the longest."""
QUICK_SHARE = 0.25
ENDS_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Goal:
    """`figure` of imagemill, or of its sum with another: divided by the same of `beside`, where one is named."""

    figure: Literal["of ideal", "jobs/s", "CPU ms", "peak MB", "of a core"]
    relation: Literal[">=", "<="]
    asked: float
    beside: str = ""
    of: tuple[str, ...] = (MILL,)


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    image_bytes: int
    in_flight: int
    jobs: int
    contestants: tuple[str, ...]
    goals: tuple[Goal, ...] = ()
    latency_s: float = 0.5
    images: int = 1
    """Per job."""
    by_url: bool = False

    @property
    def ideal(self) -> float:
        return self.in_flight / self.latency_s


SMALL_MILLS = (MILL, MILL_POSTGRES)
RSS_200 = Goal("peak MB", "<=", 150)
RSS_1000 = Goal("peak MB", "<=", 250)
AS_WHOLEBODY = Goal("CPU ms", "<=", 1.0, beside="wholebody")
CASES = (
    Case(
        "small answers, 100 in flight",
        4_000,
        100,
        4_000,
        (*SMALL_MILLS, *LOOPS, *SDKS),
        (Goal("of ideal", ">=", 0.95, of=SMALL_MILLS),),
    ),
    Case(
        "small answers, 400 in flight",
        4_000,
        400,
        12_000,
        (*SMALL_MILLS, *LOOPS, *SDKS),
        (
            Goal("jobs/s", ">=", 1.0, beside="bare", of=SMALL_MILLS),
            Goal("CPU ms", "<=", 1.2, beside="bare", of=SMALL_MILLS),
            Goal("CPU ms", "<=", 1.5, of=SMALL_MILLS),
        ),
    ),
    Case("1.5 MB images, 50 in flight", 1_500_000, 50, 1_000, (MILL, *LOOPS, *SDKS), (AS_WHOLEBODY,)),
    Case(
        "1.5 MB images, 200 in flight",
        1_500_000,
        200,
        2_000,
        (MILL, *LOOPS, *SDKS),
        (AS_WHOLEBODY, Goal("jobs/s", ">=", 2.5, beside="sdk"), RSS_200),
    ),
    Case("1.5 MB images, 1,000 in flight", 1_500_000, 1_000, 4_000, (MILL, "streamed"), (RSS_1000,)),
    Case(
        "15 MB images, 50 in flight", 15_000_000, 50, 200, (MILL, "wholebody", "streamed"), (AS_WHOLEBODY, RSS_200)
    ),
    Case(
        "10 x 1.5 MB images a job, 50 in flight",
        1_500_000,
        50,
        200,
        (MILL, "wholebody", "streamed"),
        (AS_WHOLEBODY, RSS_200),
        images=10,
    ),
    Case(
        "1.5 MB images by URL, 200 in flight",
        1_500_000,
        200,
        2_000,
        (MILL, "wholebody", "streamed", "sdk"),
        (AS_WHOLEBODY, Goal("jobs/s", ">=", 2.5, beside="sdk"), RSS_200),
        by_url=True,
    ),
    Case(
        "small answers after 10 s, 1,000 in flight",
        4_000,
        1_000,
        6_000,
        (*SMALL_MILLS, "bare"),
        (Goal("of ideal", ">=", 0.97, of=SMALL_MILLS), Goal("of a core", "<=", 0.25, of=SMALL_MILLS)),
        latency_s=10.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What all contestants of a case share."""

    case: Case
    url: str
    jobs: int
    home: Path
    postgres: PostgresServer

    def measure(self, name: str) -> Row:
        """One contestant, once."""
        case, jobs = self.case, max(self.case.in_flight * 3, round(self.jobs * _share(name)))
        folder = Path(tempfile.mkdtemp(dir=self.home))
        words = ["--url", self.url, "--jobs", str(jobs), "--in-flight", str(case.in_flight)]
        words += ["--images", str(case.images), "--folder", str(folder)]
        with self._ledger(name) as environment:
            if name in SMALL_MILLS:
                _contestant("prepare", words, environment)
            server_s = cpu_s([self.postgres.pid])
            taken = _contestant(name.partition(",")[0], words, environment)
            server_s = cpu_s([self.postgres.pid]) - server_s
        row = {
            "jobs/s": taken["jobs_per_s"],
            "of ideal": taken["jobs_per_s"] / case.ideal,
            "CPU ms": taken["cpu_ms"],
            "of a core": taken["jobs_per_s"] * taken["cpu_ms"] / 1000,
            "peak MB": taken["rss_mb"],
        }
        return row | ({"PostgreSQL ms": 1000 * server_s / jobs} if environment else {})

    @contextmanager
    def _ledger(self, name: str) -> Iterator[Mapping[str, str]]:
        if name != MILL_POSTGRES:
            yield {}
            return
        database_url = self.postgres.new_database()
        yield {"BENCH_DATABASE_URL": database_url}
        self.postgres.drop_database(database_url)


def _share(name: str) -> float:
    return SDK_SHARE if name in SDKS else 1.0


def _contestant(name: str, words: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.contestants", name, *words]
    done = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=ENDS_WITHIN_S,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    last = done.stdout.splitlines()[-1:] or ["{}"]
    return {key: float(value) for key, value in json.loads(last[0]).items()}


def run_case(case: Case, chosen: argparse.Namespace, postgres: PostgresServer, home: Path, report: Report) -> None:
    jobs = round(case.jobs * QUICK_SHARE) if chosen.quick else case.jobs
    options = ["--gpt-image-urls"] if case.by_url else []
    with services.simulator(*options, latency_s=case.latency_s, image_bytes=case.image_bytes) as simulator:
        stage = Stage(case, simulator.url, jobs, home, postgres)
        runs: dict[str, list[Row]] = {name: [] for name in case.contestants}
        for name in in_turns(case.contestants, chosen.rounds):
            runs[name].append(stage.measure(name))
    middle = {name: middles(taken) for name, taken in runs.items()}
    rows: list[Row] = [{"contestant": "ideal", "jobs/s": case.ideal, "of ideal": 1.0}]
    rows += [{"contestant": name, **row, **_ratios(row, middle)} for name, row in middle.items()]
    report.table(f"{case.name}, {case.latency_s} s latency, medians of {chosen.rounds} round(s)", rows)
    for goal in case.goals:
        for name in goal.of:
            _judge(case, goal, name, middle, report)


def _ratios(row: Mapping[str, float], middle: Mapping[str, Mapping[str, float]]) -> Row:
    """To the bare loop, and to the loop that reads whole bodies."""
    return {f"CPU/{loop}": row["CPU ms"] / middle[loop]["CPU ms"] for loop in LOOPS[:2] if loop in middle}


def _judge(case: Case, goal: Goal, name: str, middle: Mapping[str, Mapping[str, float]], report: Report) -> None:
    figure, words = middle[name][goal.figure], f"{case.name}: {goal.figure} of {name}"
    if goal.beside:
        figure, words = figure / middle[goal.beside][goal.figure], f"{words} / {goal.beside}"
    report.goal(words, figure, goal.relation, goal.asked)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="cases with these words in their name")
    chosen = parser.parse_args()
    report = Report("throughput", chosen)
    # One folder for all, removed at the very end: ext4 without a journal walks past every inode deleted within the
    # last minutes, so that tidying up between the runs would slow down each later one.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as home, services.postgres() as postgres:
        for case in CASES:
            if chosen.only in case.name:
                run_case(case, chosen, postgres, Path(home), report)
    report.finish()


if __name__ == "__main__":
    main()
