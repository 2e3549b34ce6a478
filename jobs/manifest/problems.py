"""problems.csv: every problem of a manifest in a file that Excel opens and nobody is harmed by.

UTF-8 with a byte order mark. Text that Excel would run as a formula gets an apostrophe before it; numbers stay
numbers.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from jobs.cells import safe_cell
from jobs.manifest.rows import Problem

COLUMNS = ("severity", "line", "row", "excel_row", "excel_column", "field", "value", "code", "message", "next")


def write_problems(path: Path, problems: Iterable[Problem]) -> int:
    """Write them all; the number written."""
    count = 0
    with open_problems(path) as write:
        for problem in problems:
            write(problem)
            count += 1
    return count


@contextmanager
def open_problems(path: Path) -> Iterator[Callable[[Problem], None]]:
    """A function that appends one problem, for a pass that is still running."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        yield problem_writer(file)


def problem_writer(file: TextIO) -> Callable[[Problem], None]:
    """The same for an open text file; writes the header at once."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)

    def write(problem: Problem) -> None:
        values = (getattr(problem, column) for column in COLUMNS)
        writer.writerow([safe_cell(value) if isinstance(value, str) else value for value in values])

    return write
