"""Where results and remarks go: results to stdout, remarks to stderr, both free of hostile characters."""

import os
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.options import LOOK

if TYPE_CHECKING:
    from jobs.report.table import Look, Table


def look(stream: str = "stdout") -> "Look":
    """How the given stream is looked at."""
    from jobs.report.table import Look

    told = click.get_current_context().meta.get(LOOK, {})
    terminal = getattr(sys, stream).isatty()
    width = told.get("width") or (shutil.get_terminal_size().columns if terminal else None)
    return Look(terminal, width, color=not (told.get("no_color") or os.environ.get("NO_COLOR")))


def show_table(table: "Table") -> None:
    """Ruled on a terminal; tab-separated, whole and uncoloured in a pipe."""
    from jobs.report.table import tab_separated

    seen = look()
    if seen.terminal:
        from jobs.report.ruled import ruled

        click.echo(ruled(table, seen), nl=False, color=True)
    else:
        click.echo(tab_separated(table), nl=False)


def show_json(value: Any) -> None:
    """One JSON document: indented for a person, one line for a program."""
    from jobs.report.words import json_text

    click.echo(json_text(value, indent=2 if look().terminal else None))


def show_lines(values: Iterable[Any]) -> None:
    """JSON lines of any number, written some hundred at a time."""
    from jobs.report.lines import json_lines

    write(json_lines(values))


def write(blocks: Iterable[bytes]) -> None:
    """To stdout, each block as soon as it is there, so that whoever reads can begin."""
    sys.stdout.flush()
    for block in blocks:
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A remark."""
    click.echo(_harmless(text), err=True)


def tell(text: str) -> None:
    """A result in words."""
    click.echo(_harmless(text))


def _harmless(text: str) -> str:
    lines = text.split("\n")
    if all(map(str.isprintable, lines)):  # as nearly always, and without an import that usage errors need not pay
        return text
    from jobs.report.words import escaped

    return "\n".join(map(escaped, lines))
