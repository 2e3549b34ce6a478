"""A table as a terminal shows it: ruled, aligned, coloured. Imported only where a terminal is."""

import io

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Ruled
from rich.text import Text

from jobs.report.table import Cell, Look, Table, cell_text


def ruled(table: Table, look: Look) -> str:
    """Long cells are folded, never cut off."""
    drawn = Ruled(box=SIMPLE_HEAD, show_footer=table.totals is not None)
    for place, column in enumerate(table.columns):
        footer = Text(_shown(table.totals[place])) if table.totals else ""
        drawn.add_column(
            Text(column.name), footer=footer, justify="right" if column.number else "left", overflow="fold"
        )
    for row in table.rows:
        shown = [_shown(cell) for cell in row]
        drawn.add_row(*(Text(text, style=table.styles.get(text, "")) for text in shown))
    sink = io.StringIO()
    Console(file=sink, width=look.width, force_terminal=True, no_color=not look.color, highlight=False).print(drawn)
    return "".join(f"{line.rstrip()}\n" for line in sink.getvalue().splitlines() if line.strip())


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell_text(cell)
