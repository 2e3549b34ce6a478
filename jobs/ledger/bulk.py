"""Rows by the thousand into one table, past the work that SQLAlchemy does for each of them. Intake calls it.

SQLite gets statements of some hundred rows, which cost half of what single rows do and let other threads run in the
meantime; PostgreSQL gets a COPY. Errors are SQLAlchemy's own, so that the ledger translates them like all others.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from jobs.ledger.engine import Ledger

if TYPE_CHECKING:
    import psycopg

_VALUES_AT_ONCE = 8_000
"""SQLite takes 32,766 in one statement."""
_LOADING_PRAGMAS = ("cache_size = -32000", "wal_autocheckpoint = 32768")
"""32 MB of pages, and 128 MB of log before they go into the file. Ids come in any order, so that each piece changes
pages all over their index: with SQLite's usual 2 and 4 MB a million rows write several times as much."""

BulkRow = tuple[str | int, ...]
"""The values of one row; none of them is NULL."""


def open_for_loading(ledger: Ledger) -> Ledger:
    """The same ledger by a connection of its own, set up for many rows; the caller closes it."""
    own = Ledger(ledger.engine.url.render_as_string(hide_password=False), pool_size=1)
    if own.is_sqlite:
        event.listen(own.engine, "connect", _make_room)
    return own


def _make_room(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in _LOADING_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def load_rows(tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[BulkRow]) -> None:
    """Insert all of them or raise; columns that are not named take their defaults."""
    if tx.dialect.name == "sqlite":
        _insert_values(tx, table, columns, rows)
    elif rows:
        _copy(tx, table, columns, rows)


def analyze(tx: Connection, table: Table) -> None:
    """Let PostgreSQL forget the plans that it made while the table was small, in open sessions too.

    The check of a new attempt's foreign key is one: while the table is small it goes by any index that begins with
    the batch, and then reads the whole batch for each row. PostgreSQL would analyze by itself, up to minutes later.
    """
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {table.name}")


def _insert_values(tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[BulkRow]) -> None:
    row_marks = f"({', '.join('?' * len(columns))})"
    for piece in _pieces(rows, _VALUES_AT_ONCE // len(columns)):
        marks = ", ".join([row_marks] * len(piece))
        statement = f"INSERT INTO {table.name} ({_names(columns)}) VALUES {marks}"  # the schema's names  # noqa: S608  # nosec B608
        tx.exec_driver_sql(statement, tuple(chain.from_iterable(piece)))


def _pieces(rows: Sequence[BulkRow], most: int) -> Iterator[Sequence[BulkRow]]:
    return (rows[start : start + most] for start in range(0, len(rows), most))


def _copy(tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[BulkRow]) -> None:
    """As one text: each flush of a smaller piece would wait for the interpreter's other threads."""
    statement = f"COPY {table.name} ({_names(columns)}) FROM STDIN"
    connection: psycopg.Connection[Any] | None = tx.connection.driver_connection
    assert connection is not None  # the transaction has begun
    error_type: type[Exception] = tx.dialect.loaded_dbapi.Error
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write("".join(map(_copy_line, rows)))
    except error_type as fault:
        lost = connection.broken
        if lost:
            tx.invalidate(fault)
        raise DBAPIError.instance(
            statement, None, fault, error_type, connection_invalidated=lost, dialect=tx.dialect
        ) from fault


def _copy_line(row: BulkRow) -> str:
    return "\t".join([_escaped(value) if isinstance(value, str) else str(value) for value in row]) + "\n"


def _escaped(text: str) -> str:
    """Without the letters that mean something else in the text of a COPY."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
