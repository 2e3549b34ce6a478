"""`imagemill submit`, and what `run` shares with it: the policy options and recording a manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jobs.cli.acting import who
from jobs.cli.checking import INVALID, MANIFEST, check_file, show_check
from jobs.cli.following import follow
from jobs.cli.manifests import (
    ceiling_option,
    check_words,
    manifest_options,
    manifest_reading,
    problem_file,
    problems_option,
    tags_of,
)
from jobs.cli.opening import open_ledger, read_settings
from jobs.cli.options import (
    Dollars,
    Pair,
    broker_options,
    json_option,
    ledger_options,
    price_options,
    progress_option,
    verb,
)
from jobs.cli.output import say, show_json, tell
from jobs.cli.tickets import wake_workers

if TYPE_CHECKING:
    from jobs.ledger.engine import Ledger
    from jobs.report.problems import ProblemDigest
    from jobs.settings import Settings
    from jobs.submit import Policy, Submission

F = TypeVar("F", bound=Callable[..., Any])


def policy_options(command: F) -> F:
    """How the batch is treated; the values reach the command as keyword arguments for `read_policy`."""
    for decorate in reversed(
        (
            click.option("--budget", type=Dollars(), help="a wall: confirmed + possible + reserved stay below"),
            click.option("--tag", "tags", type=Pair(), multiple=True, help="KEY=VALUE on every job; repeatable"),
            click.option("--name", help="name of the batch; the file's name otherwise"),
            click.option(
                "--max-attempts",
                type=click.IntRange(1),
                metavar="N",
                default=5,
                show_default=True,
                help="calls per job",
            ),
            click.option(
                "--retry-unknown",
                type=click.IntRange(0),
                metavar="N",
                default=0,
                show_default=True,
                help="send a call that may have been paid again, up to N times a job",
            ),
            click.option(
                "--max-possible",
                type=Dollars(),
                help="hold instead of repeating while more than this is possible, maybe paid, in the batch",
            ),
            click.option("--again", is_flag=True, help="a batch of its own, though the same one was submitted"),
            click.option("--skip-invalid", "--skip-bad", is_flag=True, help="leave rows with errors out"),
            ceiling_option,
        )
    ):
        command = decorate(command)
    return command


def read_policy(told: dict[str, Any]) -> "Policy":
    from jobs.submit import Policy

    return Policy(
        budget_nano=told["budget"],
        ceiling_nano=told["ceiling"],
        max_attempts=told["max_attempts"],
        retry_unknown=told["retry_unknown"],
        max_possible_nano=told["max_possible"],
        tags=tags_of(told["tags"]),
        name=told["name"],
        again=told["again"],
        skip_invalid=told["skip_invalid"],
    )


@verb(
    "submit",
    "imagemill submit products.csv --map id=SKU --budget 50 --tag season=autumn",
    "imagemill submit prompts.jsonl --dry-run",
)
@click.argument("manifest", type=MANIFEST)
@policy_options
@click.option("--wait", is_flag=True, help="stay until the batch ends; exit code as of `run`")
@click.option("--dry-run", is_flag=True, help="check and price it, record nothing")
@manifest_options
@problems_option
@price_options
@broker_options
@ledger_options
@progress_option
@json_option
def submit(
    manifest: Path, wait: bool, dry_run: bool, problems: Path, progress: str, as_json: bool, **policy: Any
) -> int:
    """Record the manifest as one batch, whole or not at all, wake the workers and print the batch's id. The
    same file with the same settings again is the same batch, not a second bill. Exit code 2 when the manifest
    has errors: then nothing is recorded."""
    if dry_run:
        return dry(manifest, policy, problems, as_json)
    settings = read_settings()
    with open_ledger(settings, make=True) as ledger:
        submission = record(ledger, settings, manifest, policy, problems)
        if submission.batch_id is None:
            return INVALID
        wake_workers(settings, submission.batch_id, submission.jobs)
        if wait:
            code = follow(ledger, settings, submission.batch_id, progress)
            _show(ledger, submission, as_json)
            return code
        _show(ledger, submission, as_json)
        return 0


def dry(manifest: Path, policy: dict[str, Any], problems: Path, as_json: bool) -> int:
    """What would happen: counts, price against the budget, the first finished requests."""
    from jobs.report.checks import check_json
    from jobs.report.words import json_text

    found, digest = check_file(manifest, policy["ceiling"], problems)
    if as_json:
        show_json(check_json(found))
    else:
        show_check(found, digest, problems, policy["budget"])
        for row in found.samples:
            tell(f"  {row.custom_id}: {json_text(row.request)}")
        say("dry run: nothing was recorded, nothing was spent")
    return 0 if found.ok or policy["skip_invalid"] else INVALID


def record(
    ledger: "Ledger", settings: "Settings", manifest: Path, policy: dict[str, Any], problems: Path
) -> "Submission":
    """Submit, and say what was found on the way."""
    from jobs.catalogue.prices import PriceBook
    from jobs.submit import submit as submit_manifest

    book = PriceBook.load(settings.prices)
    with problem_file(problems) as (keep, digest):
        submission = submit_manifest(
            ledger,
            manifest,
            manifest_reading(),
            read_policy(policy),
            book,
            who=who(settings),
            on_problem=keep,
        )
    _narrate(submission, digest, policy["budget"], problems)
    return submission


def _narrate(submission: "Submission", digest: "ProblemDigest", budget_nano: int | None, problems: Path) -> None:
    """Remarks about the check, on stderr: stdout is for the batch."""
    from jobs.report.table import tab_separated

    check = submission.check
    if submission.duplicate:
        say(f"this manifest is batch {submission.batch_id} already; --again makes another one of it")
        if budget_nano is not None:
            say(f"its budget stays as it is; `imagemill resume {submission.batch_id} --budget USD` changes it")
    elif check:
        if check.problems and submission.batch_id is None:
            click.echo(tab_separated(digest.table()), nl=False, err=True)
        if check.problems:
            left_out = (
                f"{check.rows - check.accepted:,} rows left out: " if check.errors and submission.batch_id else ""
            )
            say(f"{left_out}{check.errors:,} errors, {check.warnings:,} warnings, all with their lines: {problems}")
        for line in check_words(check, budget_nano):
            say(line)
        if submission.batch_id is None:
            say("nothing was recorded: correct these rows, or leave them out with --skip-invalid")


def _show(ledger: "Ledger", submission: "Submission", as_json: bool) -> None:
    from jobs.ledger.figures import standing

    assert submission.batch_id is not None
    with ledger.read() as tx:
        stands = standing(tx, submission.batch_id)
    if as_json:
        from jobs.report.checks import submission_json

        show_json(submission_json(submission, stands.state))
    else:
        tell(submission.batch_id)
