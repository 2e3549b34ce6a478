"""`imagemill jobs`, `attempts`, `images`: the rows themselves, as a table or as JSON lines of any number."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.opening import open_ledger, read_settings, the_batch
from jobs.cli.options import F, ledger_options, storage_options, verb
from jobs.cli.output import look, say, show_lines, show_table

if TYPE_CHECKING:
    from jobs.ledger.listing import Listing
    from jobs.ledger.overview import Transaction
    from jobs.settings import Settings

_STATES = ("queued", "running", "succeeded", "failed", "refused", "held", "cancelled")
_ENDED = ("succeeded", "refused", "rejected", "throttled", "errored", "unknown", "image_lost", "not_sent")
_OUTCOMES = ("open", *_ENDED, "billed_lost", "not_billed")
_ON_SCREEN = 100
_MONEY = "_nanodollars"

Rows = Callable[["Transaction", "Settings", str], "Listing"]


def listing_options(command: F) -> F:
    for decorate in (
        ledger_options,
        click.option("--jsonl", "--json", "as_jsonl", is_flag=True, help="all rows, one JSON object a line"),
        click.option(
            "--limit", type=click.IntRange(1), metavar="N", help="at most so many rows; 100 on a terminal"
        ),
    ):
        command = decorate(command)
    return command


@verb("jobs", "imagemill jobs last --state failed", "imagemill jobs b_7Q2M --jsonl > jobs.jsonl")
@click.argument("batch")
@click.option("--state", type=click.Choice(_STATES), help="only these")
@click.option("--model", help="only this model")
@click.option("--cause", help="only this error kind, as `failures` names it")
@listing_options
def jobs(
    batch: str, state: str | None, model: str | None, cause: str | None, limit: int | None, as_jsonl: bool
) -> None:
    """The jobs of a batch in manifest order: state, attempts, charge, error."""
    from jobs.ledger.listing import Filter, list_jobs

    chosen = Filter(state, model, cause, _most(limit, as_jsonl))
    columns = (
        "row",
        "custom_id",
        "state",
        "model",
        "attempts",
        "images",
        "charged",
        "possible",
        "error_kind",
        "error_message",
    )
    _list(batch, lambda tx, _, batch_id: list_jobs(tx, batch_id, chosen), columns, as_jsonl)


@verb("attempts", "imagemill attempts last --outcome unknown", "imagemill attempts b_7Q2M --jsonl")
@click.argument("batch")
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="only these; open: in flight")
@click.option("--model", help="only this model")
@click.option("--cause", help="only this error kind")
@listing_options
def attempts(
    batch: str, outcome: str | None, model: str | None, cause: str | None, limit: int | None, as_jsonl: bool
) -> None:
    """The calls of a batch, in manifest order: outcome, HTTP status, usage, ceiling and charge."""
    from jobs.ledger.listing import Filter, list_attempts

    chosen = Filter(outcome, model, cause, _most(limit, as_jsonl))
    columns = (
        "row",
        "custom_id",
        "number",
        "outcome",
        "http_status",
        "charged",
        "possible",
        "ended_at",
        "error_kind",
        "id",
    )
    _list(batch, lambda tx, _, batch_id: list_attempts(tx, batch_id, chosen), columns, as_jsonl)


@verb("images", "imagemill images last", "imagemill images b_7Q2M --jsonl | jq -r .path")
@click.argument("batch")
@listing_options
@storage_options
def images(batch: str, limit: int | None, as_jsonl: bool) -> None:
    """The files of a batch in manifest order: path, size, checksum."""
    from jobs.ledger.listing import Filter, list_images
    from jobs.storage import open_store

    chosen = Filter(limit=_most(limit, as_jsonl))

    def rows(tx: "Transaction", settings: "Settings", batch_id: str) -> "Listing":
        store = open_store(settings.images_url)
        return list_images(tx, batch_id, chosen, _locator(lambda name: str(store.path_of(name))))

    columns = ("row", "custom_id", "index", "format", "width", "height", "bytes", "sha256", "path")
    _list(batch, rows, columns, as_jsonl)


def _locator(locate: Callable[[str], str]) -> Callable[[str], str]:
    """The same, but a folder is located once for all that is in it."""
    folder_at = cache(locate)

    def located(name: str) -> str:
        folder, _, file = name.rpartition("/")
        plain = folder and file not in ("", ".", "..") and "\0" not in file
        return f"{folder_at(folder)}/{file}" if plain else locate(name)

    return located


def _most(limit: int | None, as_jsonl: bool) -> int | None:
    return limit or (_ON_SCREEN if look().terminal and not as_jsonl else None)


def _list(batch: str, rows: Rows, columns: tuple[str, ...], as_jsonl: bool) -> None:
    settings = read_settings()
    with open_ledger(settings) as ledger:
        batch_id = the_batch(ledger, batch)
        with ledger.read() as tx:
            found = rows(tx, settings, batch_id)
            if as_jsonl:
                show_lines(found.records())
            else:
                _show_cells(found, columns)


def _show_cells(found: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A ruled table of a bounded number on a terminal; in a pipe a stream of lines of any number."""
    from jobs.report.table import STATE_STYLES, Column, Table

    numbers = {"row", "number", "attempts", "images", "charged", "possible", "width", "height", "bytes", "index"}
    heads = tuple(Column(name, name in numbers) for name in columns)
    if look().terminal:
        cells = [_cells(row, columns) for row in found]
        show_table(Table(heads, cells, styles=STATE_STYLES))
        if len(cells) == _ON_SCREEN:
            say(f"the first {_ON_SCREEN}; --limit shows more, --jsonl all")
        return
    from jobs.report.lines import in_pages
    from jobs.report.table import tab_line

    click.echo(tab_line(columns), nl=False)
    for page in in_pages(tab_line(_cells(row, columns)) for row in found):
        click.echo("".join(page), nl=False)


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[str | int | None]:
    from jobs.report.words import usd

    cells: list[str | int | None] = []
    for name in columns:
        if name in ("charged", "possible"):
            nano = row[name + _MONEY]
            cells.append(None if nano is None else usd(nano))
        else:
            cells.append("open" if name == "outcome" and row[name] is None else row[name])
    return cells
