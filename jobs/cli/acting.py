"""Who acts, as the record of acts names them, and `imagemill acts`, which shows that record."""

import getpass
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.opening import reading, the_batch
from jobs.cli.options import ledger_options, verb
from jobs.cli.output import look, say, show_lines, show_table

if TYPE_CHECKING:
    from jobs.settings import Settings

_ON_SCREEN = 50
_MOST_NAMED = 3


def who(settings: "Settings") -> str:
    """IMAGEMILL_OPERATOR, else user@host of this process."""
    return settings.operator or f"{_user()}@{socket.gethostname()}"


@verb("acts", "imagemill acts", "imagemill acts last --jsonl")
@click.argument("batch", required=False)
@click.option("--jsonl", "--json", "as_jsonl", is_flag=True, help="all of them, one JSON object a line")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="at most so many; 50 on a terminal")
@ledger_options
def acts(batch: str | None, as_jsonl: bool, limit: int | None) -> None:
    """Who decided what, the newest first: submissions, retries, pauses, cancellations, budgets and resolved
    doubts, with their counts, money and evidence; also what workers stopped by themselves."""
    from jobs.ledger.acts import list_acts

    most = limit or (_ON_SCREEN if look().terminal and not as_jsonl else None)
    with reading() as ledger:
        batch_id = the_batch(ledger, batch) if batch else None
        with ledger.read() as tx:
            found = list_acts(tx, batch_id, most)
            if as_jsonl:
                show_lines(found)
            else:
                _show(found)


def _show(found: Iterator[dict[str, Any]]) -> None:
    from jobs.report.table import Column, Table

    names = ("at", "who", "verb", "batch", "what", "evidence")
    rows = [[_words(act[name]) for name in names] for act in found]
    show_table(Table(tuple(map(Column, names)), rows))
    if len(rows) == _ON_SCREEN:
        say(f"the newest {_ON_SCREEN}; --limit shows more, --jsonl all")


def _words(value: Any) -> str | None:
    """An act's facts as `name value, name value`; money in dollars."""
    if not isinstance(value, dict):
        return None if value is None else str(value)
    return ", ".join(_fact(name, fact) for name, fact in value.items())


def _fact(name: str, fact: Any) -> str:
    from jobs.report.words import usd

    if name.endswith("_nanodollars") and isinstance(fact, int):
        return f"{name.removesuffix('_nanodollars')} {usd(fact)}"
    if isinstance(fact, list):
        more = f" and {len(fact) - _MOST_NAMED} more" if len(fact) > _MOST_NAMED else ""
        return f"{name} {' '.join(map(str, fact[:_MOST_NAMED]))}{more}"
    return f"{name} {fact}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
