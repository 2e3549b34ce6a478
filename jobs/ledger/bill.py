"""The provider's books as a file: what was billed for which call, readable by attempt, whatever the file's size.

JSON lines or CSV with a header, recognised by the first character. A line names its call by `attempt_id` (what
imagemill sends as X-Client-Request-Id) or by `request_id` (what the API answered), and its amount by
`amount_nanodollars` or `amount_usd`; `billed` false says that it cost nothing. Several lines of one call add up.
The journal of the simulator is such a file: its lines of another `kind` than call are passed over.
"""

import csv
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs.errors import UsageError
from jobs.money import parse_dollars

_LARGEST_NANO = 2**63 - 1
_PIECE = 5_000
_MOST_COLUMN = 200
_ATTEMPT, _REQUEST = "attempt ", "request "
_ADD = "INSERT INTO billed VALUES (?, ?) ON CONFLICT DO UPDATE SET nano = nano + excluded.nano"
_FIND = "SELECT name, nano FROM billed WHERE name IN (SELECT value FROM json_each(?))"
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True, slots=True)
class Line:
    """One call of the books; 0: listed, and not billed."""

    attempt_id: str | None
    request_id: str | None
    billed_nano: int

    @property
    def name(self) -> str:
        """The call's name in `Bill`: what we call it, where the line says that."""
        return _ATTEMPT + self.attempt_id if self.attempt_id else _REQUEST + (self.request_id or "")


class Bill:
    """The books on a disk of their own, by call; a context manager. `read` raises UsageError with the line."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a temporary file that nobody else sees
        self._database.execute("CREATE TABLE billed (name TEXT PRIMARY KEY, nano INTEGER NOT NULL) WITHOUT ROWID")
        self.lines = 0
        self.billed_nano = 0
        self.names_every_attempt = True
        """Then a call that is not listed was not billed; else it may be among the lines that name none."""

    def read(self, path: Path) -> Self:
        lines = read_lines(path)
        while piece := list(itertools.islice(lines, _PIECE)):
            self._keep(piece)
        return self

    def amounts(self, calls: Sequence[tuple[str, str | None]]) -> dict[str, int]:
        """{attempt: nano-dollars} of those calls, (attempt, request id), that are listed."""
        names = {attempt: [_ATTEMPT + attempt, _REQUEST + (request or "")] for attempt, request in calls}
        wanted = json.dumps([name for pair in names.values() for name in pair])
        listed = dict(self._database.execute(_FIND, [wanted]).fetchall())
        return {
            attempt: sum(listed.get(name, 0) for name in pair)
            for attempt, pair in names.items()
            if any(name in listed for name in pair)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def _keep(self, lines: Sequence[Line]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(_ADD, [(one.name, one.billed_nano) for one in lines])
        self._database.execute("COMMIT")
        self.lines += len(lines)
        self.billed_nano += sum(one.billed_nano for one in lines)
        self.names_every_attempt &= all(one.attempt_id for one in lines)


def read_lines(path: Path) -> Iterator[Line]:
    """The calls of the file, one at a time. Raises UsageError that names the line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.read(1)
        file.seek(0)
        records = _json_records(file) if first == "{" else _csv_records(file)
        try:
            for number, record in records:
                if record.get("kind", "call") == "call":
                    yield _line(record, f"{path.name} line {number}")
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{path.name} cannot be read as books: {error}") from error


def _json_records(file: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(file, 1):
        if text.strip():
            yield number, _object(text, number)


def _object(text: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"line {number} of the books is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise UsageError(f"line {number} of the books is not an object")
    return record


def _csv_records(file: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = iter(file)
    header = next(lines, "")
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(itertools.chain([header], lines), delimiter=delimiter)
    for row in rows:
        yield rows.line_num, {name: value for name, value in row.items() if name and value not in (None, "")}


def _line(record: dict[str, Any], where: str) -> Line:
    attempt, request = (_name(record.get(field)) for field in ("attempt_id", "request_id"))
    if not attempt and not request:
        raise UsageError(f"{where} names no call: it needs attempt_id or request_id")
    return Line(attempt, request, _amount(record, where) if _billed(record, where) else 0)


def _name(value: Any) -> str | None:
    return value.strip()[:_MOST_COLUMN] or None if isinstance(value, str) else None


def _billed(record: dict[str, Any], where: str) -> bool:
    told = str(record.get("billed", True)).lower()
    if told not in (*_YES, *_NO):
        raise UsageError(f"{where}: billed is {told!r}, neither true nor false")
    return told in _YES


def _amount(record: dict[str, Any], where: str) -> int:
    """Nano-dollars, exactly; a float never is among them."""
    told = record.get("amount_nanodollars")
    try:
        if told is None:
            return parse_dollars(str(record["amount_usd"]))
        amount = int(str(told))
    except KeyError as error:
        raise UsageError(f"{where} has no amount: amount_nanodollars or amount_usd") from error
    except ValueError as error:
        raise UsageError(f"{where}: amount_nanodollars is {told!r}, not a whole number") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    if not 0 <= amount <= _LARGEST_NANO:
        raise UsageError(f"{where}: amount_nanodollars is {amount}, out of range")
    return amount
