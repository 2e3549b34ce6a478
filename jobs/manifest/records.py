"""CSV text into records of cells, in constant memory, with a way out of unclosed quotes.

Called by `sheet`. The stdlib reader does the parsing, strictly; this watches how many physical lines a record takes
and starts again after the line that went wrong, so that one stray quote does not hide the rest of the file.
"""

import csv
from collections import deque
from collections.abc import Iterator
from typing import TextIO

import msgspec

from jobs.manifest.rows import Complaint, error

MAX_LINE_CHARS = 1 << 20
MAX_BREAKS = 50


class Record(msgspec.Struct, frozen=True):
    """One record, or what is wrong with it."""

    line: int
    cells: list[str]
    complaint: Complaint | None = None


class _Unclosed(Exception):
    """The record has taken more lines than any cell may have."""


class _TooLong(Exception):
    """A physical line over the limit."""


class Lines:
    """Physical lines for csv.reader, remembering those of the current record."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self.number = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        if len(self._taken) > MAX_BREAKS:
            raise _Unclosed
        line = self._again.popleft() if self._again else self._text.readline(MAX_LINE_CHARS + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        if len(line) > MAX_LINE_CHARS and line[-1] not in "\r\n":
            self._skip_line()
            raise _TooLong
        return line

    def start_record(self) -> int:
        """Forget the last record's lines; the number of the line that comes next."""
        self._taken.clear()
        return self.number + 1

    def return_to(self, line: int) -> None:
        """Give back the lines of this record from `line` on."""
        kept = len(self._taken) - (self.number + 1 - line)
        self._again.extendleft(reversed(self._taken[kept:]))
        self.number = line - 1

    def _skip_line(self) -> None:
        while (rest := self._text.readline(MAX_LINE_CHARS)) and rest[-1] not in "\r\n":
            pass


def records(lines: Lines, delimiter: str) -> Iterator[Record]:
    """All records to the end of the text. UnicodeError passes through."""
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        start = lines.start_record()
        try:
            while (cells := next(reader, None)) is not None:
                yield Record(start, cells)
                start = lines.start_record()
        except _TooLong:
            yield Record(start, [], _too_long())
        except (_Unclosed, csv.Error) as fault:
            yield Record(start, [], _broken(fault))
            if _is_unclosed(fault):
                lines.return_to(start + 1)
        else:
            return


def _is_unclosed(fault: Exception) -> bool:
    return isinstance(fault, _Unclosed) or "unexpected end of data" in str(fault)


def _broken(fault: Exception) -> Complaint:
    if _is_unclosed(fault):
        message = f"a quote opens on this line and does not close within {MAX_BREAKS} lines"
        return error("unclosed_quote", message, 'close it, or double quotes inside a cell: ""')
    if "field larger than field limit" in str(fault):
        return error("cell_too_long", "a cell is over 131,072 characters", "shorten the text")
    return error("bad_quote", f"the quotes do not fit: {fault}", 'double quotes inside a cell: ""')


def _too_long() -> Complaint:
    return error("line_too_long", f"the line is over {MAX_LINE_CHARS:,} characters", "shorten the text")
