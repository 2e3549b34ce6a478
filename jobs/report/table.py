"""Tables as values, and their ways into text: tab-separated and complete for pipes, CSV for spreadsheets.

Cells are text or integers; None is an empty cell. Foreign text is escaped on the way out. `ruled` draws the
same tables for terminals.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.cells import safe_cell
from jobs.report.words import escaped

Cell = str | int | None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    number: bool = False
    """Right-aligned; in CSV never guarded against being taken for a formula."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]
    totals: Sequence[Cell] | None = None
    title: str | None = None
    styles: dict[str, str] = field(default_factory=dict)
    """Colour of a cell by its whole text, for words such as job states."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where a table is shown."""

    terminal: bool
    width: int | None = None
    color: bool = True


def tab_separated(table: Table) -> str:
    """A line of names, then a line per row; nothing cut off."""
    rows = [[column.name for column in table.columns], *table.rows]
    if table.totals:
        rows.append(table.totals)
    return "".join(map(tab_line, rows))


def tab_line(cells: Sequence[Cell]) -> str:
    return "\t".join(map(cell_text, cells)) + "\n"


def comma_separated(table: Table, *, plain: bool = False) -> str:
    """CSV that Excel opens rightly: UTF-8 with a byte order mark, text that looks like a formula made text.
    Control characters are escaped, as it may be shown on a terminal; JSON is exact. `plain` leaves the mark out."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow([column.name for column in table.columns])
    for row in [*table.rows, *([table.totals] if table.totals else [])]:
        writer.writerow([_csv_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)])
    return sink.getvalue() if plain else f"\ufeff{sink.getvalue()}"


def _csv_cell(cell: Cell, column: Column) -> Cell:
    return escaped(safe_cell(cell)) if isinstance(cell, str) and not column.number else cell


def cell_text(cell: Cell) -> str:
    return "" if cell is None else escaped(str(cell))


STATE_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "refused": "yellow",
    "held": "magenta",
    "unknown": "magenta",
    "done": "green",
    "paused": "yellow",
}
