"""`imagemill run`: submit, work in this process, show it live, report. The same command again goes on."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.checking import INVALID
from jobs.cli.following import exit_code, view
from jobs.cli.manifests import manifest_options, problems_option
from jobs.cli.opening import open_ledger, read_settings, the_batch
from jobs.cli.options import (
    calling_options,
    flags,
    json_option,
    ledger_options,
    price_options,
    progress_option,
    storage_options,
    verb,
)
from jobs.cli.output import look, say, show_json, show_table, tell
from jobs.cli.submitting import dry, policy_options, record
from jobs.cli.trouble import INTERRUPTED
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.ledger.engine import Ledger
    from jobs.ledger.figures import Standing
    from jobs.report.progress import Progress
    from jobs.settings import Settings
    from jobs.submit import Submission


@verb(
    "run",
    "imagemill run products.csv --map id=SKU --budget 50",
    "imagemill run last",
)
@click.argument("manifest", metavar="MANIFEST|BATCH")
@policy_options
@click.option("--dry-run", is_flag=True, help="check and price it, record nothing")
@manifest_options
@problems_option
@price_options
@calling_options
@storage_options
@ledger_options
@progress_option
@json_option
def run(manifest: str, dry_run: bool, problems: Path, progress: str, as_json: bool, **policy: Any) -> int:
    """Make the images here and now: record the manifest, call the endpoint, show it live, report. No broker, no
    second process. Interrupted, killed or stopped by its budget, the same command goes on where it stopped; a
    finished batch costs nothing again. BATCH instead of a file goes on with one that was submitted.

    Ctrl-C once finishes the calls in flight, twice leaves at once: those calls are then unknown, maybe paid."""
    if dry_run:
        return dry(_file(manifest), policy, problems, as_json)
    if not _is_batch(manifest):
        _file(manifest)
    settings = read_settings()
    with open_ledger(settings, make=True) as ledger:
        submission = _submission(ledger, settings, manifest, policy, problems)
        if submission.batch_id is None:
            return INVALID
        before = _standing(ledger, submission.batch_id)
        after, interrupted = _work(ledger, settings, before, progress)
        _show(ledger, submission, before, after, as_json)
        return INTERRUPTED if interrupted and _unfinished(after) else exit_code(after)


def _submission(
    ledger: "Ledger", settings: "Settings", manifest: str, policy: dict[str, Any], problems: Path
) -> "Submission":
    from jobs.submit import Submission

    if not _is_batch(manifest):
        return record(ledger, settings, Path(manifest), policy, problems)
    batch_id = the_batch(ledger, manifest)
    return Submission(batch_id, _standing(ledger, batch_id).total_jobs, duplicate=True, check=None)


def _is_batch(manifest: str) -> bool:
    return (manifest == "last" or manifest.startswith("b_")) and not Path(manifest).is_file()


def _file(manifest: str) -> Path:
    path = Path(manifest)
    if not path.is_file():
        raise UsageError(f"there is no file {manifest!r}; run takes a manifest, a batch id or `last`")
    return path


def _work(ledger: "Ledger", settings: "Settings", before: "Standing", mode: str) -> tuple["Standing", bool]:
    """Drive the batch until it ends or waits for a person; (how it stands then, whether Ctrl-C stopped it)."""
    from jobs.catalogue.prices import PriceBook
    from worker.embedded import run_batch

    assert before.batch is not None
    if before.state not in ("open", "paused") and not _left_in_spool(settings):
        return before, False
    book, stop = PriceBook.load(settings.prices), threading.Event()
    _log(settings, mode)
    with view(ledger, before.batch, mode) as shown, _interruptible(stop):
        told = _Telling(shown, stop, before.batch)
        after = run_batch(ledger, settings, book, before.batch, on_standing=told.show, stop=stop)
    return after, stop.is_set()


def _left_in_spool(settings: "Settings") -> bool:
    """A process may have died with answers in the spool that still count, and a worker's start replays them."""
    return settings.spool_dir.is_dir() and any(settings.spool_dir.iterdir())


class _Telling:
    """Shows the standing, and once that a stop was asked for: here, because a signal handler may not print while
    this thread is in the middle of printing."""

    def __init__(self, shown: "Progress", stop: threading.Event, batch_id: str) -> None:
        self._shown = shown
        self._stop = stop
        self._batch_id = batch_id
        self._told = False

    def show(self, standing: "Standing") -> None:
        if self._stop.is_set() and not self._told:
            self._told = True
            go_on = f"Go on later: imagemill run {self._batch_id}"
            self._shown.say(f"finishing the calls in flight; Ctrl-C again leaves. {go_on}")
        self._shown.show(standing)


@contextmanager
def _interruptible(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops admitting, the second leaves."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # the panel hides it
            os.write(
                2, show_cursor + b"\nleft: calls in flight are unknown now, and listed by `imagemill attempts`\n"
            )
            os._exit(INTERRUPTED)  # threads still wait for answers; whatever they hold is for the sweep
        stop.set()

    earlier = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _log(settings: "Settings", mode: str) -> None:
    """A run narrates itself: logs add only errors to the panel, and warnings elsewhere, unless a level was set."""
    from jobs.events import configure
    from jobs.settings import origins

    panel = mode == "panel" or (mode == "auto" and look("stderr").terminal)
    chosen = origins(**flags())["log_level"] != "default"
    configure(settings.log_level if chosen else "error" if panel else "warning")


def _standing(ledger: "Ledger", batch_id: str) -> "Standing":
    from jobs.ledger.figures import standing

    with ledger.read() as tx:
        return standing(tx, batch_id)


def _unfinished(standing: "Standing") -> bool:
    return standing.jobs["queued"] + standing.jobs["running"] > 0


def _show(ledger: "Ledger", submission: "Submission", before: "Standing", after: "Standing", as_json: bool) -> None:
    """The report on stdout, what to do next on stderr."""
    from jobs.ledger.figures import Span
    from jobs.report.checks import submission_json
    from jobs.report.costs import read_report, report_json, report_remarks, report_table
    from jobs.report.next_steps import next_steps
    from jobs.report.standing import standing_words

    with ledger.read() as tx:
        report = read_report(tx, "outcome", Span(after.batch))
    if as_json:
        totals = report_json(report)
        state = totals["state"]
        show_json(totals | {"jobs_by_state": totals["jobs"]} | submission_json(submission, state))
    else:
        tell(standing_words(after))
        show_table(report_table(report))
        for line in report_remarks(report):
            tell(line)
    for line in next_steps(before, after):
        say(line)
