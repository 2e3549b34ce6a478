"""imagemill beside what people build without it: one Celery task a row, and a script over LiteLLM.

    sh scripts/bench peers [--quick] [--only WORDS] [--rounds N] [--json FILE]

All contestants run in processes of their own, in turn, against the same simulator, PostgreSQL and Redis. Figures
are of the steady state: the queue is full before the workers start, and start-up and the draining end are left out.
gevent and LiteLLM are not among imagemill's dependencies and in none of its lock files: they are installed at the
versions below, without hashes, into scratch environments that are deleted at the end. What cannot be installed is
left out of the table, and said.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import services
from benchmarks.common import Report, arguments, in_turns, middle
from benchmarks.mill import Mill
from benchmarks.peers import COUNT_DONE
from benchmarks.scratch import Scratch
from benchmarks.steady import Run, Steady
from tests.services import PostgresServer, RedisServer

GEVENT = "gevent==26.9.0"
LITELLM = "litellm==1.106.2"
WITHIN_S = 240.0
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Contestant:
    """`kind` is imagemill, celery or litellm; `pool` and `client` are those of a Celery worker."""

    name: str
    kind: str
    in_flight: int
    jobs: int
    pool: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    image_bytes: int
    contestants: tuple[Contestant, ...]


LATENCY_S = 0.5
SMALL = (
    Contestant("imagemill, 8 in flight", "imagemill", 8, 250),
    Contestant("imagemill, 100 in flight", "imagemill", 100, 3_000),
    Contestant("imagemill, 400 in flight", "imagemill", 400, 8_000),
    Contestant("celery, 2 processes, openai", "celery", 2, 60, "prefork", "sdk"),
    Contestant("celery, 8 processes, openai", "celery", 8, 250, "prefork", "sdk"),
    Contestant("celery, 8 processes, httpx", "celery", 8, 250, "prefork", "httpx"),
    Contestant("celery, 32 processes, openai", "celery", 32, 500, "prefork", "sdk"),
    Contestant("celery, 400 greenlets, openai", "celery", 400, 2_000, "gevent", "sdk"),
    Contestant("celery, 400 greenlets, httpx", "celery", 400, 2_000, "gevent", "httpx"),
    Contestant("script over LiteLLM, 100 in flight", "litellm", 100, 1_000),
)
IMAGES = (
    Contestant("imagemill, 8 in flight", "imagemill", 8, 250),
    Contestant("imagemill, 100 in flight", "imagemill", 100, 1_200),
    Contestant("celery, 8 processes, openai", "celery", 8, 200, "prefork", "sdk"),
    Contestant("celery, 8 processes, httpx", "celery", 8, 200, "prefork", "httpx"),
    Contestant("celery, 100 greenlets, openai", "celery", 100, 500, "gevent", "sdk"),
    Contestant("script over LiteLLM, 100 in flight", "litellm", 100, 500),
)
CASES = (
    Case("small answers (4 KB)", 4_000, SMALL),
    Case("images of 1.5 MB", 1_500_000, IMAGES),
)
BASE = "imagemill, 100 in flight"
"""What the others' CPU time is compared with."""
IN_QUICK = (BASE, "celery, 8 processes, openai", "script over LiteLLM, 100 in flight")
QUICK_JOBS = 500
"""At most: five waves of the widest contestant."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What all contestants of a case share."""

    postgres: PostgresServer
    redis: RedisServer
    simulator: services.Simulator
    scratch: Scratch
    home: Path

    def measure(self, one: Contestant, jobs: int) -> Steady | None:
        """None when it cannot be installed."""
        database_url = self.postgres.new_database()
        self.redis.flushall()
        folder = Path(tempfile.mkdtemp(dir=self.home))
        try:
            if one.kind == "imagemill":
                return self._imagemill(one, jobs, folder, database_url)
            return self._peer(one, jobs, folder, database_url)
        finally:
            self.postgres.drop_database(database_url)

    def _imagemill(self, one: Contestant, jobs: int, folder: Path, database_url: str) -> Steady:
        mill = Mill(folder, database_url, self.redis.url, self.simulator.url)
        try:
            mill.submit(jobs)
            with mill.worker("worker", one.in_flight) as worker:
                return self._observe(worker.pid, mill.ended, one, jobs)
        finally:
            mill.close()

    def _peer(self, one: Contestant, jobs: int, folder: Path, database_url: str) -> Steady | None:
        environment = self._environment(one, jobs, folder, database_url)
        command = self._command(one)
        if command is None:
            return None
        if one.kind == "celery":
            fill = [sys.executable, "-m", "benchmarks.peers", "fill"]
            subprocess.run(fill, env=os.environ | environment, check=True, cwd=ROOT)
        log_file = folder / "worker.log"
        with (
            log_file.open("wb") as log,
            _counter(one, folder, database_url) as done,
            services.program(command, log=log, environment=environment) as worker,
        ):
            return self._observe(worker.pid, done, one, jobs)

    def _observe(self, pid: int, done: Callable[[], int], one: Contestant, jobs: int) -> Steady:
        servers = {"PostgreSQL": [self.postgres.pid], "Redis": [self.redis.pid]}
        return Run({"worker": [pid]} | servers, done).observe(jobs, one.in_flight, WITHIN_S)

    def _command(self, one: Contestant) -> list[str] | None:
        if one.kind == "litellm":
            python = self.scratch.python(LITELLM, over_ours=False)
            return python and [python, "-m", "benchmarks.peers", "litellm"]  # type: ignore[return-value]
        python = self.scratch.python(GEVENT, over_ours=True) if one.pool == "gevent" else sys.executable
        options = ["--pool", one.pool, "--concurrency", str(one.in_flight), "--loglevel", "ERROR"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return python and [python, "-m", "celery", "-A", "benchmarks.peers", "worker", *options, *quiet]  # type: ignore[return-value]

    def _environment(self, one: Contestant, jobs: int, folder: Path, database_url: str) -> dict[str, str]:
        return {
            "PEER_BROKER_URL": self.redis.url,
            "PEER_DATABASE_URL": database_url,
            "PEER_ENDPOINT_URL": self.simulator.url,
            "PEER_FOLDER": str(folder),
            "PEER_CLIENT": one.client,
            "PEER_JOBS": str(jobs),
            "PEER_IN_FLIGHT": str(one.in_flight),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its prices from the internet
            "PYTHONPATH": str(ROOT),
        }


@contextmanager
def _counter(one: Contestant, folder: Path, database_url: str) -> Iterator[Callable[[], int]]:
    """How many calls have ended: rows that are done, or the pictures of a script that keeps no rows."""
    if one.kind == "litellm":
        yield lambda: len(os.listdir(folder)) - 1  # noqa: PTH208 - the log is no picture
        return
    with psycopg.connect(database_url, autocommit=True) as ledger:

        def done() -> int:
            row = ledger.execute(COUNT_DONE).fetchone()
            return int(row[0]) if row else 0

        yield done


def run_case(case: Case, chosen: argparse.Namespace, stage: Stage, report: Report) -> None:
    contestants = {one.name: one for one in case.contestants if chosen.only in one.name}
    if chosen.quick:
        contestants = {name: one for name, one in contestants.items() if name in IN_QUICK}
    taken: dict[str, list[Steady]] = {name: [] for name in contestants}
    for name in in_turns(list(contestants), chosen.rounds):
        jobs = contestants[name].jobs
        steady = stage.measure(contestants[name], min(jobs, QUICK_JOBS) if chosen.quick else jobs)
        taken[name] += [steady] if steady else []
    rows = [_row(contestants[name], runs) for name, runs in taken.items() if runs]
    base = next((row["CPU ms a job"] for row in rows if row["contestant"] == BASE), None)
    rows = [row | {"CPU / ours": base and row["CPU ms a job"] / base} for row in rows]
    report.table(f"{case.name}, {LATENCY_S} s latency, one worker, medians of {chosen.rounds} round(s)", rows)


def _row(one: Contestant, runs: list[Steady]) -> dict[str, Any]:
    def of(figure: Callable[[Steady], float]) -> float:
        return middle([figure(run) for run in runs])

    rate = of(lambda run: run.jobs_per_s)
    return {
        "contestant": one.name,
        "jobs/s": rate,
        "of ideal": rate / (one.in_flight / LATENCY_S),
        "peak RSS MB": of(lambda run: run.rss_mb),
        "PSS MB": of(lambda run: run.pss_mb),
        "CPU ms a job": of(lambda run: sum(run.cpu_ms.values())),
        "worker": of(lambda run: run.cpu_ms["worker"]),
        "PostgreSQL": of(lambda run: run.cpu_ms["PostgreSQL"]),
        "Redis": of(lambda run: run.cpu_ms["Redis"]),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="contestants with these words in their name")
    chosen = parser.parse_args()
    report = Report("peers", chosen)
    # Beside the checkout's files, for /tmp may be memory; removed at the very end, see bench_throughput.py.
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as home,
        services.postgres() as postgres,
        services.redis() as redis,
    ):
        scratch = Scratch(Path(home), report)
        for case in CASES:
            with services.simulator(latency_s=LATENCY_S, image_bytes=case.image_bytes) as simulator:
                run_case(case, chosen, Stage(postgres, redis, simulator, scratch, Path(home)), report)
    report.finish()


if __name__ == "__main__":
    main()
