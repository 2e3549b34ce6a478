"""Reading a ledger of ten million attempts: status, reports, failures, gauges, and rows as JSON lines.

    sh scripts/bench reports [--quick] [--only sqlite|postgresql] [--attempts N] [--rounds N]

Three ledgers are filled by SQL for each engine and deleted again: N attempts of 200 batches over 400 days, ten
thousand batches, and one batch of two million jobs. Before anything is measured, what imagemill keeps must equal
its own recount. Beside each figure stands what one gets without kept totals: GROUP BY over the attempts. It takes
tens of minutes and 12 GB below $TMPDIR; --quick some minutes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from benchmarks.big_ledger import Shape, fill
from benchmarks.commands import run
from benchmarks.common import Report, Row, arguments, middle
from benchmarks.naive import copied, counted_by, dumped
from benchmarks.services import postgres
from jobs.ledger import figures, gauges, migrate, overview, recount
from jobs.ledger.acts import list_acts
from jobs.ledger.engine import Ledger
from jobs.ledger.figures import Span
from jobs.report.costs import read_report
from tests.integration.ledgers import ask, open_batch

Question = Callable[[Connection], Any]

GOAL_MS = {
    "postgresql": {"status": 50, "report --by model": 300, "report --by day": 300, "report --by tag:shop": 300},
    "sqlite": {"status": 1000, "report --by model": 1000, "report --by day": 1000, "report --by tag:shop": 1000},
}
GOAL_ROWS_PER_S = 50_000
GOAL_GROWTH_MB = 10


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the three ledgers."""

    main: Shape
    long: Shape
    many: Shape

    @classmethod
    def of(cls, chosen: argparse.Namespace) -> "Sizes":
        attempts = chosen.attempts or (200_000 if chosen.quick else 10_000_000)
        long, batches = (110_000, 1_000) if chosen.quick else (2_200_000, 10_000)
        return cls(Shape(attempts, 200), Shape(long, 1), Shape(100 * batches, batches))


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(rounds=5)
    parser.add_argument("--only", choices=list(GOAL_MS), help="one engine")
    parser.add_argument("--attempts", type=int, metavar="N", help="of the first ledger; default 10,000,000")
    chosen = parser.parse_args()
    report = Report("reports", chosen)
    sizes = Sizes.of(chosen)
    for engine in [chosen.only] if chosen.only else GOAL_MS:
        with databases(engine) as new_url:
            for measure, shape in ((questions, sizes.main), (many_batches, sizes.many), (streams, sizes.long)):
                with filled(report, new_url(), engine, shape) as ledger:
                    measure(report, engine, ledger, shape, chosen.rounds)
    report.finish()


@contextmanager
def databases(engine: str) -> Iterator[Callable[[], str]]:
    """Makes URLs of new databases."""
    if engine == "postgresql":
        with postgres(wal_level="minimal") as server:
            yield server.new_database
        return
    with tempfile.TemporaryDirectory(prefix="imagemill-reports-") as folder:
        yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=folder)}/ledger.db"


@contextmanager
def filled(report: Report, url: str, engine: str, shape: Shape) -> Iterator[Ledger]:
    """A ledger of this shape and one open batch more, right by imagemill's own recount; emptied afterwards."""
    ledger = Ledger(url)
    migrate.upgrade(ledger)
    began = time.perf_counter()
    fill(ledger, shape)
    took = time.perf_counter() - began
    ask(ledger, open_batch(ledger, 2_000), 100)
    with ledger.read() as tx:
        began = time.perf_counter()
        found = recount.differences(tx)
        counted = time.perf_counter() - began
    if found:
        raise SystemExit(f"{len(found)} kept totals are wrong: {found[0]}")
    jobs = shape.jobs_per_batch * shape.batches
    report.note(
        f"\n{engine}: {jobs * 11 // 10:,} attempts, {jobs:,} jobs, {shape.batches:,} batches: filled in"
        f" {took:.0f} s, recounted in {counted:.0f} s, no difference"
    )
    try:
        yield ledger
    finally:
        empty(ledger)


def empty(ledger: Ledger) -> None:
    """Give the disk back before the next one is filled."""
    path = ledger.engine.url.database or ""
    if not ledger.is_sqlite:
        ledger.write(lambda tx: tx.execute(text("DROP SCHEMA public CASCADE")))
    ledger.close()
    for file in Path(path).parent.glob("ledger.db*") if ledger.is_sqlite else ():
        file.unlink()


def questions(report: Report, engine: str, ledger: Ledger, shape: Shape, rounds: int) -> None:
    """What people ask, through imagemill's functions, beside a count of the attempts."""
    batch = f"b_{10_000_000 + shape.batches // 2}"
    asked: dict[str, Question] = {
        "status": lambda tx: (overview.whole_ledger(tx), overview.list_standing(tx)),
        "status BATCH": lambda tx: figures.standing(tx, batch),
        **{f"report --by {by}": reported(by) for by in ("model", "day", "tag:shop", "batch", "outcome", "meter")},
        "report --from --to --by day": lambda tx: read_report(tx, "day", last_month(tx)),
        "failures BATCH": lambda tx: figures.causes(tx, batch),
        "watch BATCH (its panel)": lambda tx: overview.glimpse(tx, batch),
        "metrics": lambda tx: list(gauges.read_gauges(tx)),
        "acts": lambda tx: list(list_acts(tx)),
    }
    rows: list[Row] = []
    for name, question in asked.items():
        taken = [timed_ms(ledger, question) for _ in range(rounds)]
        naive = agreed_ms(ledger, name.removeprefix("report --by "))
        rows.append(line(name, taken, naive))
        if name in GOAL_MS[engine]:
            report.goal(f"{engine}: {name}", middle(taken), "<=", GOAL_MS[engine][name], "ms")
    report.table(f"{engine}: query time, {rounds} rounds, beside GROUP BY over the attempts", rows)
    commands = ("status", "report --by model", "report --by day", f"failures {batch}", "metrics")
    report.table(f"{engine}: whole commands", [command_row(ledger, words) for words in commands])


def line(name: str, taken: Sequence[float], naive: float | None) -> Row:
    ratio = None if naive is None else naive / middle(taken)
    return {"question": name, "ms": middle(taken), "worst ms": max(taken), "GROUP BY ms": naive, "times": ratio}


def reported(by: str) -> Question:
    return lambda tx: read_report(tx, by, Span())


def last_month(tx: Connection) -> Span:
    days = sorted(group.key for group in figures.report_groups(tx, "day", Span()))
    return Span(None, days[-30], None)


def agreed_ms(ledger: Ledger, by: str) -> float | None:
    """How long the same report takes by counting, None where there is none; both must say the same."""
    with ledger.read() as tx:
        began = time.perf_counter()
        counted = counted_by(tx, by)
        took = (time.perf_counter() - began) * 1000
        if counted is None:
            return None
        groups = figures.report_groups(tx, "outcome" if by == "status" else by, Span())
    if {group.key: (group.attempts, group.charged_nano, group.possible_nano) for group in groups} != counted:
        raise SystemExit(f"the report by {by} is not what a count of the attempts gives")
    return took


def timed_ms(ledger: Ledger, question: Question) -> float:
    with ledger.read() as tx:
        tx.execute(text("SELECT 1"))
        began = time.perf_counter()
        question(tx)
        return (time.perf_counter() - began) * 1000


def many_batches(report: Report, engine: str, ledger: Ledger, shape: Shape, rounds: int) -> None:
    batch = f"b_{10_000_000 + shape.batches // 2}"
    asked: dict[str, Question] = {
        "status": lambda tx: (overview.whole_ledger(tx), overview.list_standing(tx)),
        "status BATCH": lambda tx: figures.standing(tx, batch),
        "status last": lambda tx: figures.match_batch(tx, "last"),
        "report --by batch": reported("batch"),
        "report --by day": reported("day"),
        "metrics": lambda tx: list(gauges.read_gauges(tx)),
    }
    taken = {name: [timed_ms(ledger, question) for _ in range(rounds)] for name, question in asked.items()}
    report.table(f"{engine}: {shape.batches:,} batches", [line(name, taken[name], None) for name in asked])
    if engine == "postgresql":
        report.goal(f"{engine}: status of {shape.batches:,} batches", middle(taken["status"]), "<=", 50, "ms")


def streams(report: Report, engine: str, ledger: Ledger, shape: Shape, _rounds: int) -> None:
    """Whole commands that write every row of one long batch, beside the bare ways to get rows out."""
    batch, rows = f"b_{10_000_000}", []
    for kind in ("jobs", "attempts", "images"):
        few = run(ledger, f"{kind} {batch} --jsonl --limit {shape.jobs_per_batch // 20}")
        everything = run(ledger, f"{kind} {batch} --jsonl")
        lines = everything.lines
        shown = everything.row() | {"MB of a 20th": few.peak_mb}
        rows.append({"way": f"imagemill {kind}", **shown})
        report.goal(f"{engine}: {kind} --jsonl", lines / everything.wall_s, ">=", GOAL_ROWS_PER_S, "rows/s")
        grown = everything.peak_mb - few.peak_mb
        report.goal(f"{engine}: {kind} memory, 20 times the rows", grown, "<=", GOAL_GROWTH_MB, "MB more")
    for name, way in (("cursor and json.dumps", dumped), ("COPY TO STDOUT", copied)):
        if name != "COPY TO STDOUT" or not ledger.is_sqlite:
            began = time.perf_counter()
            number = way(ledger, batch)
            wall = time.perf_counter() - began
            rows.append({"way": f"attempts by {name}", "rows": number, "s": wall, "rows/s": number / wall})
    report.table(f"{engine}: {shape.jobs_per_batch:,} jobs of one batch as JSON lines", rows)


def command_row(ledger: Ledger, words: str) -> Row:
    done = run(ledger, words)
    return {"command": f"imagemill {words}", "s": done.wall_s, "CPU s": done.cpu_s, "peak MB": done.peak_mb}


if __name__ == "__main__":
    main()
