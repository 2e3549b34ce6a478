"""From the command line's words to a finished run: folders, the run, the checks at its end, the files it leaves."""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from tests.books import Snapshot
from tests.checker import check
from tests.torture.baseline import Baseline
from tests.torture.recovery import Recovery
from tests.torture.report import Result, result
from tests.torture.run import Run
from tests.torture.samples import read_sums
from tests.torture.schedule import schedule
from tests.torture.stage import Stage
from tests.torture.supply import Supply
from tests.torture.table import table
from tests.torture.verdict import Verdict, differences, extra_paid, judge, submissions

PAIRS = ("sqlite", "postgres", "plain-celery")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    pair: str
    seed: int
    minutes: float
    jobs: int = 2_000
    """Unfinished ones, kept in supply."""
    blows_per_s: float = 0.5
    """To workers, beside those that die by a doom of their own: about as many again."""
    real_clock: bool = False


def main(parser: argparse.ArgumentParser) -> int:
    """1 on any violation; the run's folder is kept then, else removed."""
    parser.add_argument("--pair", choices=PAIRS, default="postgres")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2_000, help="unfinished jobs kept in supply")
    parser.add_argument(
        "--blows", type=float, default=0.5, help="to workers a second, beside dooms; a tenth with --real-clock"
    )
    parser.add_argument("--real-clock", action="store_true", help="leases of 60 s instead of 6 s")
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    parser.add_argument("--home", type=Path, help="folder of the run, which is then kept")
    chosen = parser.parse_args()
    home = chosen.home or Path(tempfile.mkdtemp(prefix="imagemill-torture-"))
    home.mkdir(exist_ok=True)
    plan = Plan(chosen.pair, chosen.seed, chosen.minutes, chosen.jobs, chosen.blows, chosen.real_clock)
    found = torture(plan, home)
    if chosen.out:
        chosen.out.write_text(json.dumps(asdict(found), indent=1))
    print(table([asdict(found)]))
    return _conclude(found, home, keep=chosen.home is not None)


def torture(plan: Plan, home: Path) -> Result:
    """One run from beginning to end in the folder `home`, which exists."""
    with Stage(plan.pair, home, plan.seed, real_clock=plan.real_clock) as stage:
        return _compare(plan, stage) if plan.pair == "plain-celery" else _torture(plan, stage)


def _torture(plan: Plan, stage: Stage) -> Result:
    random, seconds = Random(plan.seed), 60 * plan.minutes
    supply = Supply(stage.home / "lots", random, (plan.jobs // 20, plan.jobs // 4))
    run = Run(stage, supply, random, plan.jobs)
    servers = plan.pair == "postgres"
    blows = schedule(plan.seed, seconds, servers=servers, lease_s=stage.lease_s, blows_per_s=plan.blows_per_s)
    run.go(blows, seconds)
    run.drain()
    verdict = _check(stage, supply, run)
    _resolve_by_books(stage, run)
    return result(plan.pair, plan.seed, plan.minutes, stage, run.log, run.recovery, verdict)


def _compare(plan: Plan, stage: Stage) -> Result:
    """As many kills at random times as the other has kills and dooms."""
    run, seconds = Baseline(stage, plan.jobs), 60 * plan.minutes
    run.go(schedule(plan.seed, seconds, servers=True, blows_per_s=2 * plan.blows_per_s), seconds)
    run.drain()
    return result(plan.pair, plan.seed, plan.minutes, stage, run.log, Recovery(stage.books), run.judge())


def _check(stage: Stage, supply: Supply, run: Run) -> Verdict:
    """Everything is at rest: hold ledger, journal, files and promises against each other."""
    ledger, lines = stage.books.snapshot(), stage.journal.lines()
    stage.journal.read_on()
    billed = {line["attempt_id"]: line["amount_nanodollars"] for line in lines if line["kind"] == "call"}
    closed_s, (code, told) = run.log.closed_after_s, stage.run("db", "check")
    found = [*check(ledger, lines, stage.images), *submissions(ledger, supply.lots), *differences(ledger, lines)]
    found += [f"attempt {one} was an extra paid call" for one in extra_paid(ledger, billed, supply.lots)]
    if closed_s is None or closed_s > run.bound_s:
        found.append(f"attempts stayed open for {closed_s} s, not {run.bound_s:.0f} at most")
    if code:
        found.append(f"db check: exit {code}: {told}")
    run.log.violations += found
    if run.log.violations:
        _keep(stage, ledger, "ledger.json")
    return judge(ledger, lines, supply.lots)


def _resolve_by_books(stage: Stage, run: Run) -> None:
    """The endpoint's books decide every doubt, and price what had no price; then ledger and books are equal to the
    nano-dollar."""
    (row,) = stage.books.ask("SELECT coalesce(max(deadline_at), 0) AS last FROM attempts WHERE possible_nano > 0")
    decidable_s = (
        row["last"] / 1000 + stage.lease_s + 0.5
    )  # not billed is said only when nobody could send it any more
    time.sleep(max(0.0, decidable_s - time.time()))
    books, evidence = str(stage.journal.path), "the simulator's journal"
    code, told = stage.run("resolve", "--books", books, "--correct", "--evidence", evidence, "--yes")
    sums = read_sums(stage.books)
    if code or sums.possible or sums.confirmed != stage.journal.billed_nano:
        left = f"possible {sums.possible}, confirmed {sums.confirmed}, billed {stage.journal.billed_nano}"
        run.log.violations.append(f"after resolve (exit {code}): {left}: {told}")
    ledger = stage.books.snapshot()
    if found := check(ledger, stage.journal.lines(), stage.images):
        run.log.violations += found
        _keep(stage, ledger, "ledger-resolved.json")


def _keep(stage: Stage, ledger: Snapshot, name: str) -> None:
    """For whoever looks for the cause: the server goes with the run."""
    (stage.home / name).write_text(json.dumps(asdict(ledger)))


def _conclude(found: Result, home: Path, *, keep: bool) -> int:
    for violation in found.violations[:40]:
        print(f"VIOLATION {violation}")
    if found.violations:
        print(f"{len(found.violations)} violations; everything is kept in {home}")
        return 1
    if not keep:
        shutil.rmtree(home)
    return 0
