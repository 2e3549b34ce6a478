"""The values a manifest becomes: rows to run, and problems with their place and their cure.

Readers yield Row or Problem in file order; checks return Complaints, which a place turns into Problems. What is
made for every row is a msgspec struct: as frozen as a dataclass, and made in a fifth of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

Severity = Literal["error", "warning"]
_SHOWN_CHARS = 80
_MESSAGE_CHARS = 500


class Row(msgspec.Struct, frozen=True):
    """One line of work: one request."""

    row: int
    """Ordinal among the data rows of the file, from 1; invalid rows count, blank ones do not."""
    line: int
    """Physical line on which the row starts, from 1."""
    custom_id: str
    request: dict[str, Any]
    """What is sent: parameters and prompt, nulls dropped, defaults filled in."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    excel_row: int | None = None
    columns: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Field -> column letter, where the row came from a sheet."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong and what to do about it, wherever it stands."""

    code: str
    message: str
    next: str
    field: str | None = None
    value: str | None = None
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """A complaint with its place in the file."""

    line: int
    row: int | None
    field: str | None
    value: str | None
    code: str
    message: str
    next: str
    severity: Severity = "error"
    excel_column: str | None = None
    excel_row: int | None = None

    def as_error(self) -> "Problem":
        """The same in strict mode, where a warning stops as an error does."""
        return self if self.severity == "error" else replace(self, severity="error")


def error(code: str, message: str, next: str, *, field: str | None = None, value: object = None) -> Complaint:
    return Complaint(code, _cut(message, _MESSAGE_CHARS), next, shown(field), shown(value))


def warning(code: str, message: str, next: str, *, field: str | None = None, value: object = None) -> Complaint:
    return Complaint(code, _cut(message, _MESSAGE_CHARS), next, shown(field), shown(value), "warning")


def shown(value: object) -> str | None:
    """A value as it may be shown: text, cut, None when there is nothing to show."""
    if value is None:
        return None
    return _cut(value if isinstance(value, str) else repr(value), _SHOWN_CHARS)


def _cut(text: str, most: int) -> str:
    """Files quote themselves in complaints; a hostile one must not fill the screen or the memory."""
    return text if len(text) <= most else text[: most - 1] + "…"


def place(
    complaint: Complaint,
    *,
    line: int,
    row: int | None,
    excel_row: int | None = None,
    excel_column: str | None = None,
) -> Problem:
    """The complaint where it was found."""
    return Problem(
        line=line,
        row=row,
        field=complaint.field,
        value=complaint.value,
        code=complaint.code,
        message=complaint.message,
        next=complaint.next,
        severity=complaint.severity,
        excel_column=excel_column,
        excel_row=excel_row,
    )


def place_in(row: Row, complaint: Complaint) -> Problem:
    """The complaint at a row that was read."""
    column = row.columns.get(complaint.field or "")
    return place(complaint, line=row.line, row=row.row, excel_row=row.excel_row, excel_column=column)
