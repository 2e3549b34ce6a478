"""`imagemill check`: a manifest judged and priced, without a ledger and without a call."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.manifests import (
    ceiling_option,
    check_words,
    manifest_options,
    manifest_reading,
    problem_file,
    problems_option,
)
from jobs.cli.opening import read_settings
from jobs.cli.options import json_option, ledger_options, price_options, verb
from jobs.cli.output import say, show_json, show_table, tell

if TYPE_CHECKING:
    from jobs.manifest import CheckResult
    from jobs.report.problems import ProblemDigest

MANIFEST = click.Path(exists=True, dir_okay=False, path_type=Path)
INVALID = 2


@verb(
    "check",
    "imagemill check products.csv --map id=SKU --prompt-template 'studio photo of {title}, {colour}'",
    "imagemill check prompts.jsonl --json",
)
@click.argument("manifest", type=MANIFEST)
@manifest_options
@ceiling_option
@problems_option
@price_options
@ledger_options
@json_option
def check(manifest: Path, ceiling: int | None, problems: Path, as_json: bool) -> int:
    """Read the whole manifest and say everything that is wrong or doubtful, with line and field, and what it
    would cost: low, expected, ceiling. Spends nothing, records nothing. Exit code 2 when it has errors."""
    found, digest = check_file(manifest, ceiling, problems)
    if as_json:
        from jobs.report.checks import check_json

        show_json(check_json(found))
    else:
        show_check(found, digest, problems)
    return 0 if found.ok else INVALID


def check_file(manifest: Path, ceiling: int | None, problems: Path) -> tuple["CheckResult", "ProblemDigest"]:
    """One pass over the file, all problems to `problems`."""
    from datetime import UTC, datetime

    from jobs.catalogue.prices import PriceBook
    from jobs.manifest import check_manifest

    book = PriceBook.load(read_settings().prices)
    with problem_file(problems) as (keep, digest):
        day = datetime.now(UTC).date()
        return check_manifest(manifest, manifest_reading(), book, day, ceiling, on_problem=keep), digest


def show_check(
    found: "CheckResult", digest: "ProblemDigest", problems: Path, budget_nano: int | None = None
) -> None:
    if found.problems:
        show_table(digest.table())
        say(f"all {found.errors + found.warnings:,} with their lines: {problems}")
    for line in check_words(found, budget_nano):
        tell(line)
