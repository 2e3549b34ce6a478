"""`imagemill report` and `imagemill failures`: what it cost, and what went wrong."""

import re
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.opening import read_settings, reading, the_batch
from jobs.cli.options import json_option, ledger_options, storage_options, verb
from jobs.cli.output import say, show_json, show_table, tell
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.ledger.engine import Ledger
    from jobs.report.costs import CostReport

_KEYS = ("day", "model", "batch", "outcome", "meter")
_FORMATS = click.Choice(["table", "json", "csv", "html"])


class Grouping(click.ParamType[str]):
    """A key of `--by`."""

    name = "key"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in _KEYS or re.fullmatch(r"tag:.+", value):
            return value
        import difflib

        near = difflib.get_close_matches(value, _KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(_KEYS)}, tag:KEY"
        return self.fail(f"there is no grouping {value!r}; {hint}", param, ctx)


class Day(click.ParamType[str]):
    """A UTC day, 2026-11-22."""

    name = "yyyy-mm-dd"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            self.fail(f"{value!r} is not a day such as 2026-11-22", param, ctx)


@verb(
    "report",
    "imagemill report --by day --from 2026-11-01 --to 2026-12-01",
    "imagemill report last --by tag:season --format csv",
)
@click.argument("batch", required=False)
@click.option(
    "--by", type=Grouping(), default="model", show_default=True, help="day, model, batch, tag:KEY, outcome or meter"
)
@click.option("--from", "since", type=Day(), help="first UTC day")
@click.option("--to", "until", type=Day(), help="UTC day after the last")
@click.option(
    "--format", "form", type=_FORMATS, default="table", show_default=True, help="html: the pictures of BATCH"
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="file; stdout otherwise")
@click.option("--plain", is_flag=True, help="CSV without the mark that Excel needs")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    default=1000,
    show_default=True,
    help="html: at most so many jobs",
)
@storage_options
@ledger_options
@json_option
def report(
    batch: str | None,
    by: str,
    since: str | None,
    until: str | None,
    form: str,
    output: Path | None,
    plain: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Cost and counts of a batch, or of the whole ledger, grouped; the last line is the sum of those above it.
    Three figures: confirmed (billed), possible (maybe billed), reserved (in flight). Without a price: unpriced,
    never $0.

    --format html -o FILE writes the contact sheet of BATCH: one file with pictures, costs and failures."""
    from jobs.ledger.figures import Span
    from jobs.report.costs import read_report

    with reading() as ledger:
        batch_id = the_batch(ledger, batch) if batch else None
        if form == "html" and not as_json:
            _sheet(ledger, batch_id, output, limit)
            return
        with ledger.read() as tx:
            found = read_report(tx, by, Span(batch_id, since, until))
    _show(found, "json" if as_json else form, output, plain)


@verb("failures", "imagemill failures last", "imagemill failures b_7Q2M --json")
@click.argument("batch")
@ledger_options
@json_option
def failures(batch: str, as_json: bool) -> None:
    """Failed, refused and held jobs by cause: how many, an example, and what to do about it."""
    from jobs.report.causes import cause_json, causes_table, read_causes

    with reading() as ledger:
        batch_id = the_batch(ledger, batch)
        with ledger.read() as tx:
            causes = read_causes(tx, batch_id)
    if as_json:
        show_json({"batch": batch_id, "causes": [cause_json(cause) for cause in causes]})
    elif causes:
        show_table(causes_table(causes))
        say(f"the jobs of one cause: imagemill jobs {batch_id} --cause {causes[0].kind}")
    else:
        tell(f"{batch_id} has no failed, refused or held jobs")


def _show(found: "CostReport", form: str, output: Path | None, plain: bool) -> None:
    from jobs.report.costs import report_json, report_remarks, report_sheet, report_table
    from jobs.report.table import comma_separated, tab_separated
    from jobs.report.words import json_text

    if form == "json" and output is None:
        show_json(report_json(found))
    elif form == "json":
        _write(output, json_text(report_json(found), indent=2) + "\n")
    elif form == "csv":
        _write(output, comma_separated(report_sheet(found), plain=plain))
    elif output is not None:
        _write(output, tab_separated(report_table(found)))
    else:
        show_table(report_table(found))
        for line in report_remarks(found):
            say(line)


def _write(output: Path | None, text: str) -> None:
    """To the file, whole; or to stdout, as bytes, so that line ends stay as the format wants them."""
    if output is None:
        sys.stdout.buffer.write(text.encode())
        return
    output.write_bytes(text.encode())
    say(f"written: {output}")


def _sheet(ledger: "Ledger", batch_id: str | None, output: Path | None, limit: int) -> None:
    from jobs.ledger.figures import Span
    from jobs.ledger.overview import pictured_jobs
    from jobs.report.contact_sheet import contact_sheet
    from jobs.report.costs import read_report
    from jobs.storage import open_store

    if batch_id is None or output is None:
        raise UsageError(
            "the contact sheet is one batch in one file: imagemill report BATCH --format html -o sheet.html"
        )
    store = open_store(read_settings().images_url)
    with ledger.read() as tx:
        found = read_report(tx, "outcome", Span(batch_id))
        pages = contact_sheet(found, pictured_jobs(tx, batch_id, limit), store.path_of, output.absolute().parent)
        partial = output.with_name(f".{output.name}.part")
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(pages)
        partial.replace(output)
    say(f"written: {output}")
