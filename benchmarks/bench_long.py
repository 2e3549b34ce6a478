"""One long batch by `imagemill run`, as a dataset is made overnight: does the last job cost what the first did?

    sh scripts/bench long [--quick] [--json FILE] [--rows N]

300,000 rows (--quick: 20,000), 400 calls in flight, answers of 4 KB after 0.5 s, on SQLite and on PostgreSQL.
The run is cut into tenths by what is done; each shows the rate, the process's CPU time a job and its memory at the
end. The first and the last tenth hold the start and the drain, so the second and the ninth are compared.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from benchmarks import services
from benchmarks.commands import IMAGEMILL
from benchmarks.common import Report, Row, arguments
from benchmarks.processes import cpu_s, peak_rss_mb, rss_mb
from jobs.ledger import migrate
from jobs.ledger.engine import Ledger

ROWS, ROWS_QUICK = 300_000, 20_000
IN_FLIGHT, LATENCY_S = 400, 0.5
PARTS = 10
GROWTH, PEAK_MB = 1.2, 150.0
_ROW = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
LOOKS_EVERY_S = 0.5
_ENDED = text("SELECT coalesce(sum(jobs), 0) FROM job_tallies WHERE state IN ('succeeded', 'failed', 'held')")


@dataclass(frozen=True, slots=True)
class Reading:
    """Jobs that have ended, and the process's CPU time, at one moment."""

    done: int
    at_s: float
    cpu_s: float


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "SQLite":
        yield f"sqlite:///{folder}/ledger.db"
    else:
        with services.postgres() as server:
            yield server.new_database()


def write_manifest(folder: Path, rows: int) -> Path:
    manifest = folder / "manifest.jsonl"
    with manifest.open("w") as lines:
        for number in range(rows):
            lines.write(json.dumps({"prompt": f"studio photo of a cup, number {number}", **_ROW}) + "\n")
    return manifest


def run(kind: str, rows: int) -> list[Row]:
    """The tenths of one run."""
    with (
        tempfile.TemporaryDirectory(prefix="imagemill-long-") as home,
        database(kind, Path(home)) as url,
        services.simulator(latency_s=LATENCY_S) as simulator,
    ):
        ledger = Ledger(url)
        migrate.upgrade(ledger)
        manifest = write_manifest(Path(home), rows)
        settings = {
            "IMAGEMILL_DATABASE_URL": url,
            "IMAGEMILL_ENDPOINT_URL": simulator.url,
            "IMAGEMILL_API_KEY": "bench",
            "IMAGEMILL_DATA_DIR": str(Path(home) / "data"),
            "IMAGEMILL_IN_FLIGHT": str(IN_FLIGHT),
        }
        command = [IMAGEMILL, "run", str(manifest), "--progress", "none"]
        with services.program(command, environment=settings) as process:
            return list(tenths(ledger, process, rows))


def tenths(ledger: Ledger, process: "subprocess.Popen[bytes]", rows: int) -> Iterator[Row]:
    before = wait_for(ledger, process, 1)
    for part in range(1, PARTS + 1):
        # Short of the last ones, while the process is there to be looked at.
        now = wait_for(ledger, process, min(rows * part // PARTS, rows - IN_FLIGHT))
        jobs = now.done - before.done
        yield {
            "jobs done": now.done,
            "jobs/s": jobs / (now.at_s - before.at_s),
            "CPU ms/job": 1000 * (now.cpu_s - before.cpu_s) / jobs,
            "MB": rss_mb([process.pid]),
            "peak MB": peak_rss_mb(process.pid),
        }
        before = now


def wait_for(ledger: Ledger, process: "subprocess.Popen[bytes]", jobs: int) -> Reading:
    """The moment at which so many jobs have ended. Raises SystemExit where the run ends before."""
    while (done := ended(ledger)) < jobs:
        if process.poll() is not None:
            raise SystemExit(f"the run ended at {done:,} of {jobs:,} jobs")
        time.sleep(LOOKS_EVERY_S)
    return Reading(done, time.monotonic(), cpu_s([process.pid]))


def ended(ledger: Ledger) -> int:
    with ledger.read() as tx:
        return int(tx.execute(_ENDED).scalar_one())


def measure(chosen: argparse.Namespace) -> None:
    report = Report("long", chosen)
    rows = chosen.rows or (ROWS_QUICK if chosen.quick else ROWS)
    for kind in ("SQLite", "PostgreSQL"):
        told = run(kind, rows)
        report.table(f"{kind}: {rows:,} jobs, {IN_FLIGHT} in flight, {LATENCY_S} s latency", told)
        growth = told[-2]["CPU ms/job"] / told[1]["CPU ms/job"]
        report.goal(f"{kind}: CPU of the ninth tenth / of the second", growth, "<=", GROWTH)
        report.goal(f"{kind}: peak memory", told[-1]["peak MB"], "<=", PEAK_MB, "MB")
    report.finish()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, help="of the batch")
    measure(parser.parse_args())
