"""The ledger as an outsider reads it: plain SQL over SQLite or PostgreSQL, no code of the product."""

import sqlite3
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the ledger says at one moment."""

    jobs: list[Row]
    attempts: list[Row]
    images: list[Row]
    charges: list[Row]
    budgets: list[Row]
    workers: list[Row]
    batches: list[Row]
    tag_sets: list[Row] = field(default_factory=list)
    job_tallies: list[Row] = field(default_factory=list)
    attempt_tallies: list[Row] = field(default_factory=list)
    charge_tallies: list[Row] = field(default_factory=list)
    acts: list[Row] = field(default_factory=list)
    """What people did; a ledger from before there were any has none."""


class Books:
    """Reads one ledger, named by its URL. Each call is a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str) -> list[Row]:
        """The rows of one query."""
        return self._ask_all([query])[0]

    def number(self, query: str) -> int:
        """The one number that the query gives; 0 for NULL and for a ledger without tables yet."""
        try:
            (row,) = self.ask(query)
        except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            return 0
        return int(next(iter(row.values())) or 0)

    def snapshot(self) -> Snapshot:
        """All tables that the checks look at, read in one transaction."""
        known = self._tables()
        wanted = [part.name for part in fields(Snapshot) if part.name in known]
        rows = self._ask_all([f"SELECT * FROM {table}" for table in wanted])
        return Snapshot(**dict(zip(wanted, rows, strict=True)))

    def dump(self) -> str:
        """Every value of every table, as text."""
        return repr(self._ask_all([f'SELECT * FROM "{table}"' for table in self._tables()]))

    def _tables(self) -> list[str]:
        names = {
            "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
            "postgresql": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
        }
        return [row["name"] for row in self.ask(names[self.url.partition(":")[0]])]

    def _ask_all(self, queries: list[str]) -> list[list[Row]]:
        return self._sqlite(queries) if self.url.startswith("sqlite") else self._postgresql(queries)

    def _sqlite(self, queries: list[str]) -> list[list[Row]]:
        path = Path(self.url.removeprefix("sqlite:///"))
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN")
            return [[dict(row) for row in connection.execute(query)] for query in queries]
        finally:
            connection.close()

    def _postgresql(self, queries: list[str]) -> list[list[Row]]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return [connection.execute(query).fetchall() for query in queries]
