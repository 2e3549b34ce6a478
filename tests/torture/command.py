"""From the command line's words to a finished run: folders, the run, the checks at its end, the files it leaves."""

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from random import Random

from tests.checker import check
from tests.torture.report import Result, result
from tests.torture.run import Run
from tests.torture.schedule import schedule
from tests.torture.stage import Stage
from tests.torture.supply import Supply
from tests.torture.table import table
from tests.torture.verdict import differences, extra_paid, judge, submissions

DRAIN_WITHIN_S = 600.0


def main(parser: argparse.ArgumentParser) -> int:
    """1 on any violation; the run's folder is kept then, else removed."""
    parser.add_argument("--pair", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2_000, help="unfinished jobs kept in supply")
    parser.add_argument("--kills", type=float, default=0.5, help="blows to workers a second, beside dooms")
    parser.add_argument("--real-clock", action="store_true", help="leases of 60 s instead of 6 s")
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    parser.add_argument("--home", type=Path, help="folder of the run, which is then kept")
    chosen = parser.parse_args()
    home = chosen.home or Path(tempfile.mkdtemp(prefix="imagemill-torture-"))
    home.mkdir(exist_ok=True)
    found = torture(
        chosen.pair,
        chosen.seed,
        chosen.minutes,
        home,
        keep_jobs=chosen.jobs,
        blows_per_s=chosen.kills,
        real_clock=chosen.real_clock,
    )
    if chosen.out:
        chosen.out.write_text(json.dumps(found.asdict(), indent=1))
    print(table([found.asdict()]))
    return _conclude(found, home, keep=chosen.home is not None)


def torture(
    pair: str,
    seed: int,
    minutes: float,
    home: Path,
    *,
    keep_jobs: int = 2_000,
    blows_per_s: float = 0.5,
    real_clock: bool = False,
) -> Result:
    """One run from beginning to end in the folder `home`."""
    seconds = 60 * minutes
    with Stage(pair, home, seed, real_clock=real_clock) as stage:
        random = Random(seed)
        supply = Supply(home / "lots", random, (keep_jobs // 20, keep_jobs // 4))
        run = Run(stage, supply, random, keep_jobs)
        servers = pair == "postgres"
        run.go(schedule(seed, seconds, servers=servers, lease_s=stage.lease_s, blows_per_s=blows_per_s), seconds)
        run.drain(DRAIN_WITHIN_S)
        return _settle_accounts(pair, seed, minutes, stage, supply, run)


def _settle_accounts(pair: str, seed: int, minutes: float, stage: Stage, supply: Supply, run: Run) -> Result:
    """Everything is at rest: check it all, let the books decide the doubts, check again."""
    log, books, journal = run.log, stage.books, stage.journal
    ledger, lines = books.snapshot(), journal.lines()
    journal.read_on()
    verdict = judge(ledger, lines, supply.lots)
    log.violations += [*check(ledger, lines, stage.images), *submissions(ledger, supply.lots)]
    billed = {line["attempt_id"]: line["amount_nanodollars"] for line in lines if line["kind"] == "call"}
    log.violations += [f"attempt {one} was an extra paid call" for one in extra_paid(ledger, billed, supply.lots)]
    log.violations += differences(ledger, lines)
    if log.closed_after_s is None or log.closed_after_s > run.bound_s:
        log.violations.append(f"attempts stayed open for {log.closed_after_s} s, not {run.bound_s:.0f} at most")
    code, told = stage.run("db", "check")
    if code:
        log.violations.append(f"db check: exit {code}: {told}")
    if log.violations:
        (stage.home / "ledger.json").write_text(json.dumps(asdict(ledger)))  # the server goes with the run
    return result(
        pair, seed, minutes, stage.lease_s, log, run.recovery, journal.called, verdict, after_resolve=None
    )


def _conclude(found: Result, home: Path, *, keep: bool) -> int:
    for violation in found.violations[:40]:
        print(f"VIOLATION {violation}")
    if found.violations:
        print(f"{len(found.violations)} violations; everything is kept in {home}")
        return 1
    if not keep:
        shutil.rmtree(home)
    return 0
