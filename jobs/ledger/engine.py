"""How the ledger is opened: one class over SQLite or PostgreSQL, and the few places where they differ.

Durability is fixed here: SQLite in WAL mode with synchronous=FULL, PostgreSQL with synchronous_commit=on, so that
a returned commit survives a power cut. Writing transactions on SQLite are BEGIN IMMEDIATE: a deferred one that
reads first and writes after another's commit fails at once, whatever the busy timeout.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from sqlalchemy import URL, Connection, Engine, Row, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from jobs.errors import Conflict, LedgerAway, LedgerError, UsageError

P = ParamSpec("P")
T = TypeVar("T")
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"
"""A result row; its columns are named in the query beside it."""

_WRITE = "imagemill_write"
_KEYS_ONLY = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true)"
)
_BUSY_TIMEOUT_S = 60
_TRIES = 6
_CONNECT_WITHIN_S = 10
_LINK_LOST_AFTER_S = 20
"""A PostgreSQL server that acknowledges nothing for so long is given up; the system's own limit is 15 minutes."""
_IDLE_IN_TRANSACTION_S = 20
"""PostgreSQL ends a writing transaction that stands still so long: its locks would stop every other worker, while
its process is stopped or its link is cut."""
# serialization_failure, deadlock_detected, idle_in_transaction_session_timeout: the transaction was rolled back
# whole and may simply be run again.
_TRANSIENT_SQLSTATES = frozenset({"40001", "40P01", "25P03"})


class Ledger:
    """A SQL database that holds the truth. Thread-safe; open it after any fork."""

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        parsed = _parse(url)
        open_engine = _sqlite if parsed.get_backend_name() == "sqlite" else _postgresql
        self.engine: Engine = open_engine(parsed, pool_size)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def folder(self) -> Path | None:
        """Where its file is; None for a server."""
        return Path(self.engine.url.database or "").absolute().parent if self.is_sqlite else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent reading transaction: everything it reads is of one moment. Raises LedgerError, as
        `write` does."""
        with _translated(), self._reading() as connection, connection.begin():
            if not self.is_sqlite:  # it holds no lock, and whoever reads its rows may take their time
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection

    def write(self, act: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act(transaction, ...)` and commit. Raises LedgerAway, Conflict or another LedgerError.

        A transaction the database rolled back for the sake of another one is run again; `act` therefore must
        have no effect outside of the ledger.
        """
        for turn in range(_TRIES):
            try:
                with _translated(), self._begin() as connection:
                    return act(connection, *args, **kwargs)
            except RolledBack:
                if turn + 1 == _TRIES:
                    raise
            time.sleep(random.uniform(0, 0.02 * 2**turn))
        raise AssertionError("unreachable")

    def _reading(self) -> Connection:
        connection = self.engine.connect()
        if self.is_sqlite:  # WAL gives each transaction one view of the file
            return connection
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(**{_WRITE: True}) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def find_by_key(tx: Connection) -> None:
    """Say that this transaction finds its rows by their keys. While a table is small PostgreSQL takes reading it
    whole for cheap; a plan that was kept would go on like that through a million rows."""
    if tx.dialect.name == "postgresql":
        tx.execute(_KEYS_ONLY)


def insert_missing(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary key is not there yet."""
    if rows:
        tx.execute(_dialect_insert(tx)(table).on_conflict_do_nothing(), list(rows))


def _dialect_insert(tx: Connection) -> Callable[[Table], Any]:
    return sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "IMAGEMILL_DATABASE_URL is not a database URL; examples: sqlite:///imagemill-data/ledger.db, "
            "postgresql://user@host/imagemill"
        ) from error
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        name = parsed.get_backend_name()
        raise UsageError(f"the ledger runs on sqlite and postgresql, not on {name}: change IMAGEMILL_DATABASE_URL")
    return parsed


class RolledBack(LedgerError):
    """The database gave this transaction up for the sake of another, as often as it was tried."""


@contextmanager
def _translated() -> Iterator[None]:
    """SQLAlchemy's errors as ours; nothing outside the ledger catches a library's."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(str(error.orig)) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _TRANSIENT_SQLSTATES or "database is locked" in str(error.orig):
            raise RolledBack("the database is busy with other transactions; try again") from error
        if _is_away(error):
            raise LedgerAway(f"the database does not answer: {_first_line(error.orig)}") from error
        raise LedgerError(_first_line(error.orig)) from error
    except PoolTimeoutError as error:
        raise LedgerAway("no database connection came free in time") from error
    except SQLAlchemyError as error:
        raise LedgerError(_first_line(error)) from error


def _is_away(error: DBAPIError) -> bool:
    """Whether waiting may help. SQLite calls wrong SQL an operational error too."""
    wrong_sql = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return isinstance(error, OperationalError | InterfaceError) and not wrong_sql


def _first_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _sqlite(url: URL, pool_size: int) -> Engine:
    if not url.database or url.database == ":memory:":
        raise UsageError(
            "the ledger must survive the process: name a file, for example sqlite:///imagemill-data/ledger.db"
        )
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=pool_size, connect_args={"timeout": _BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgresql(url: URL, pool_size: int) -> Engine:
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_WITHIN_S,
            "options": "-c synchronous_commit=on -c timezone=UTC"
            f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_S}s",
            "tcp_user_timeout": _LINK_LOST_AFTER_S * 1000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
        },
    )
