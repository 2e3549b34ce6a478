"""Intake: a manifest of a million rows checked and recorded by `imagemill submit`, from JSONL and from CSV.

    sh scripts/bench intake [--quick] [--only sqlite|postgresql] [--rows N]

Each run is a whole process on a fresh ledger, tickets to a private Redis included. The custom_ids come in random
order, which is the hard case for their index. Beside it stand the ceiling - the bare lines of the same file into a
table of one column, nothing read, nothing checked - and the loop that people write: csv or json and SQLAlchemy's
ORM. It takes some ten minutes and 3 GB below $TMPDIR; --quick one minute.
"""

import csv
import hashlib
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis as redis_client

from benchmarks.commands import IMAGEMILL
from benchmarks.common import Report, Row, arguments
from benchmarks.services import postgres, redis
from benchmarks.whole import Whole, measure
from worker.tickets import QUEUE

GOAL_S, GOAL_MB, GOAL_MESSAGES = 40, 200, 100
ENGINES = ("sqlite", "postgresql")
KINDS = ("jsonl", "csv")
PEER_ROWS = 100_000
FIELDS = ("custom_id", "prompt", "model", "size", "quality", "brand")
SUBJECTS = ("a red ceramic cup", "eine Vase aus grünem Glas", "一只红色的狐狸", "a brass lamp", "a woollen blanket")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=ENGINES, help="one engine")
    parser.add_argument("--rows", type=int, metavar="N", help="of the manifest; default 1,000,000")
    chosen = parser.parse_args()
    rows = chosen.rows or (50_000 if chosen.quick else 1_000_000)
    report = Report("intake", chosen)
    with tempfile.TemporaryDirectory(prefix="imagemill-intake-") as name, redis() as broker:
        folder = Path(name)
        manifests = {(kind, number): write(folder, kind, number) for kind in KINDS for number in (rows, PEER_ROWS)}
        for engine in [chosen.only] if chosen.only else ENGINES:
            with databases(engine, folder) as new_url:
                for kind in KINDS:
                    case(report, engine, manifests[kind, rows], manifests[kind, PEER_ROWS], new_url, broker)
    report.finish()


def case(
    report: Report, engine: str, manifest: Path, peers: Path, new_url: Callable[[str], str], broker: Any
) -> None:
    """One engine and one kind of file: a table of four contestants, and the goals."""
    rows = count_rows(manifest)
    url = new_url("imagemill")
    taken = submit(url, broker.url, manifest)
    messages = take_messages(broker)
    require_recorded(url, rows)
    again = submit(url, broker.url, manifest)  # the same file: found out by its hash alone
    take_messages(broker)
    ceiling = peer("ceiling", new_url("ceiling"), manifest)
    orm = peer("orm", new_url("orm"), peers)
    lines = [
        line("imagemill submit", rows, taken, ceiling, rows),
        line("the same file again", rows, again, ceiling, rows),
        line("ceiling: bare lines", rows, ceiling, ceiling, rows),
        line(f"ORM add_all ({PEER_ROWS:,} rows)", PEER_ROWS, orm, ceiling, rows),
    ]
    kind = manifest.suffix[1:]
    report.table(
        f"{engine}, {kind}, {manifest.stat().st_size / 1e6:.0f} MB; {messages} messages at the broker", lines
    )
    if rows >= 1_000_000:
        report.goal(f"{engine}, {kind}: a million rows", 1e6 * taken.seconds / rows, "<=", GOAL_S, "s")
        report.goal(f"{engine}, {kind}: peak memory", taken.peak_mb, "<=", GOAL_MB, "MB")
    report.goal(f"{engine}, {kind}: messages at the broker", messages, "<=", GOAL_MESSAGES)


def line(name: str, rows: int, taken: Whole, ceiling: Whole, ceiling_rows: int) -> Row:
    rate, ceiling_rate = rows / taken.seconds, ceiling_rows / ceiling.seconds
    return {
        "": name,
        "rows": rows,
        "s": taken.seconds,
        "rows/s": rate,
        "CPU us/row": 1e6 * taken.cpu_s / rows,
        "peak MB": taken.peak_mb,
        "rate/ceiling": rate / ceiling_rate,
    }


def submit(url: str, broker_url: str, manifest: Path) -> Whole:
    """Nothing else of the user's settings: an empty folder, and the environment."""
    environment = {"IMAGEMILL_DATABASE_URL": url, "IMAGEMILL_BROKER_URL": broker_url}
    if url.startswith("postgresql"):
        measure([IMAGEMILL, "db", "upgrade"], environment)
    tags = ["--tag-columns", "brand"] if manifest.suffix == ".csv" else []
    problems = ["--problems", str(manifest.with_suffix(".problems"))]
    return measure([IMAGEMILL, "submit", str(manifest), *tags, *problems], environment)


def peer(name: str, url: str, manifest: Path) -> Whole:
    return measure([sys.executable, "-m", "benchmarks.intake_peers", name, url, str(manifest)])


def take_messages(broker: Any) -> int:
    """How many were in the queue; none are left."""
    with redis_client.Redis.from_url(broker.url) as client:
        found = client.llen(QUEUE)
        client.flushall()
    return int(found)


def require_recorded(url: str, rows: int) -> None:
    """One open batch with as many jobs as the file has rows, else SystemExit."""
    asked = "SELECT b.state, b.jobs, (SELECT count(*) FROM jobs) FROM batches b"
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as ledger:
            found = ledger.execute(asked).fetchall()
        ledger.close()
    else:
        with psycopg.connect(url) as server:
            found = server.execute(asked).fetchall()
    if found != [("open", rows, rows)]:
        raise SystemExit(f"the ledger holds {found}, not one open batch of {rows} jobs")


@contextmanager
def databases(engine: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """Gives a function that makes a new database and returns its URL."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as place:
            numbers = iter(range(1_000))
            yield lambda name: f"sqlite:///{place}/{name}-{next(numbers)}.db"
    else:
        with postgres() as server:
            yield lambda _name: server.new_database()


def write(folder: Path, kind: str, rows: int) -> Path:
    path = folder / f"manifest-{rows}.{kind}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            writer = csv.writer(file)
            writer.writerow(FIELDS)
            writer.writerows(values(number) for number in range(rows))
        else:
            for number in range(rows):
                *plain, brand = values(number)
                row = dict(zip(FIELDS, plain, strict=False)) | {"tags": {"brand": brand}}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def values(number: int) -> tuple[str, ...]:
    """One row, in the order of FIELDS: nine sets of parameters, twelve brands, ids like random ones."""
    custom_id = hashlib.md5(str(number).encode()).hexdigest()
    subject = SUBJECTS[number % len(SUBJECTS)]
    prompt = f"studio photo of {subject}, number {number}, on a white table, soft light from the left, 85 mm"
    size = ("1024x1024", "1536x1024", "1024x1536")[number % 3]
    quality = ("low", "medium", "high")[number // 3 % 3]
    return custom_id, prompt, "gpt-image-2", size, quality, f"brand-{number % 12}"


def count_rows(manifest: Path) -> int:
    return int(manifest.stem.partition("-")[2])


if __name__ == "__main__":
    main()
