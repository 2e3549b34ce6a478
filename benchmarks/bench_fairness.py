"""Ten rows submitted behind a million: when their first call is made, and when all are done.

    sh scripts/bench fairness [--quick] [--json FILE]

One `imagemill work` process over PostgreSQL and Redis, each of its slots taken by a batch of a million rows
(--quick: 20,000). Ten rows are submitted alone before it, and behind it while it runs. Twice: at an endpoint
without limits, and at one whose limit leaves an equal share of 60 images a minute. Times count from the end of
`submit`.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import services
from benchmarks.common import Report, Row, arguments
from benchmarks.mill import Mill
from benchmarks.processes import wait_until
from tests.services import PostgresServer, RedisServer

FEW, MANY, MANY_QUICK = 10, 1_000_000, 20_000
IN_FLIGHT = 100
LATENCY_S = 2.0
PER_MINUTE = 120
FIRST_CALL_S = 5.0
AS_ALONE = 1.25
"""Of the time that ten rows take alone at an equal share; a wave of the running batch may have to end first."""
WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    settings: dict[str, str]
    limit: tuple[str, ...] = ()
    share_s: float = 0.0
    """What ten calls take at half of the limit."""


CASES = (
    Case("no limit", {}),
    Case(
        f"{PER_MINUTE} images a minute",
        {"IMAGEMILL_IMAGES_PER_MINUTE": str(PER_MINUTE)},
        ("--images-per-minute", str(PER_MINUTE)),
        FEW * 60 / (PER_MINUTE / 2),
    ),
)


@dataclass(frozen=True, slots=True)
class Stage:
    mill: Mill
    database: str

    def few(self) -> tuple[float, float]:
        """Seconds from the end of a submission of ten rows to their first call, and to the end of the last."""
        batch = self.mill.submit(FEW)
        submitted = time.time()
        wait_until(lambda: self._ended(batch) == FEW, WITHIN_S, "the end of ten rows")
        first, last = self._moments(batch)
        return first - submitted, last - submitted

    def many(self, rows: int) -> float:
        """A batch that takes all slots; seconds of its submission."""
        began = time.monotonic()
        batch = self.mill.submit(rows)
        took = time.monotonic() - began
        wait_until(lambda: self._ended(batch) > 0, WITHIN_S, "the first wave of the big batch")
        return took

    def _ended(self, batch: str) -> int:
        ended = "SELECT count(*) FROM attempts WHERE batch_id = %s AND ended_at IS NOT NULL"
        with psycopg.connect(self.database) as sql:
            (number,) = sql.execute(ended, [batch]).fetchone() or (0,)
        return int(number)

    def _moments(self, batch: str) -> tuple[float, float]:
        asked = "SELECT min(admitted_at), max(ended_at) FROM attempts WHERE batch_id = %s"
        with psycopg.connect(self.database) as sql:
            row = sql.execute(asked, [batch]).fetchone()
        assert row is not None
        return row[0] / 1000, row[1] / 1000


def run(case: Case, rows: int, home: Path, postgres: PostgresServer, redis: RedisServer) -> list[Row]:
    database = postgres.new_database()
    broker = f"{redis.url.rpartition('/')[0]}/{CASES.index(case) + 1}"
    with services.simulator(*case.limit, latency_s=LATENCY_S) as simulator:
        folder = Path(tempfile.mkdtemp(dir=home))
        mill = Mill(folder, database, broker, simulator.url)
        stage = Stage(mill, database)
        with mill.worker("worker", IN_FLIGHT, **case.settings):
            wait_until(lambda: mill.live_workers() == 1, WITHIN_S, "the worker's start")
            alone = stage.few()
            submitted_s = stage.many(rows)
            behind = [stage.few() for _ in range(3)]
        mill.close()
    print(f"{case.name}: {rows:,} rows submitted in {submitted_s:.0f} s", file=sys.stderr)
    names = ["alone", *(f"behind {rows:,} rows" for _ in behind)]
    return [
        {"case": case.name, "ten rows": name, "first call after s": first, "done after s": done}
        for name, (first, done) in zip(names, [alone, *behind], strict=True)
    ]


def measure(chosen: argparse.Namespace) -> None:
    report = Report("fairness", chosen)
    rows = MANY_QUICK if chosen.quick else MANY
    with (
        services.postgres() as postgres,
        services.redis() as redis,
        tempfile.TemporaryDirectory(prefix="imagemill-fairness-") as home,
    ):
        told = [(case, run(case, rows, Path(home), postgres, redis)) for case in CASES]
    report.table(
        f"{IN_FLIGHT} in flight, answers after {LATENCY_S:.0f} s", [row for _, lines in told for row in lines]
    )
    for case, (alone, *behind) in told:
        first = max(row["first call after s"] for row in behind)
        report.goal(f"{case.name}: first call", first, "<=", FIRST_CALL_S, "s")
        bound = AS_ALONE * max(alone["done after s"], case.share_s + LATENCY_S)
        report.goal(f"{case.name}: done", max(row["done after s"] for row in behind), "<=", bound, "s")
    report.finish()


if __name__ == "__main__":
    measure(arguments(__doc__).parse_args())
