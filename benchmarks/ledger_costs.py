"""What a run costs the servers: transactions, statements and log volume of PostgreSQL, messages of Redis, disk.

Counters only grow, so that the difference of two readings is what happened between. Called by bench_scale.py; all
questions go through connections of their own, to another database than the one under measurement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tests.services import PostgresServer, RedisServer

LOG_PREFIX = "%d "
COUNTED = """
SELECT xact_commit + xact_rollback, (SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'))
FROM pg_stat_database WHERE datname = %s
"""
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
WAITING = """
SELECT coalesce(wait_event_type || ': ' || wait_event, 'running') FROM pg_stat_activity
WHERE datname = %s AND backend_type = 'client backend' AND state = 'active'
"""
DISK = """
SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table on disk."""

    name: str
    rows: int
    table_bytes: int
    index_bytes: int


class ServerCosts:
    """The counters of a ledger and a broker; a context manager that owns its connections."""

    def __init__(self, postgres: PostgresServer, database_url: str, redis: RedisServer) -> None:
        self._database_url = database_url
        self._name = database_url.rpartition("/")[2]
        self._postgres = postgres
        self._sql = psycopg.connect(postgres.url(), autocommit=True)
        self._redis = redis.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._sql.close()
        self._redis.close()

    def read(self) -> Mapping[str, float]:
        """PostgreSQL's sessions report what they did within a second."""
        row = self._sql.execute(COUNTED, [self._name]).fetchone()
        assert row is not None
        told = self._redis.info("stats")
        return {
            "transactions": float(row[0]),
            "WAL bytes": float(row[1]),
            "Redis commands": float(told["total_commands_processed"]),
            "Redis bytes": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
        }

    def connections(self) -> int:
        row = self._sql.execute(CONNECTIONS, [self._name]).fetchone()
        return int(row[0]) if row else 0

    def deadlocks(self) -> int:
        """Transactions that were given up for others so far."""
        row = self._sql.execute(DEADLOCKS, [self._name]).fetchone()
        return int(row[0]) if row else 0

    def waiting(self) -> list[str]:
        """What each busy session does at this moment: running, or what it waits for."""
        return [what for (what,) in self._sql.execute(WAITING, [self._name])]

    def tables(self) -> list[TableSize]:
        """Space and rows of every table, the largest first."""
        with psycopg.connect(self._database_url, autocommit=True) as ledger:
            sizes = [
                TableSize(name, self._rows(ledger, name), table, index)
                for name, table, index in ledger.execute(DISK).fetchall()
            ]
        return sorted(sizes, key=lambda one: -(one.table_bytes + one.index_bytes))

    def log_statements(self, on: bool) -> None:
        """Have PostgreSQL log every statement from now on, or no more; sessions learn of it within a moment. Its
        `log_line_prefix` must be LOG_PREFIX."""
        self._sql.execute(f"ALTER SYSTEM SET log_statement = '{'all' if on else 'none'}'")
        self._sql.execute("SELECT pg_reload_conf()")

    def statements(self) -> int:
        """How many of the ledger's statements the log holds."""
        with self._postgres.log.open(errors="replace") as log:
            ours = [line for line in log if line.startswith(f"{self._name} ")]
        return sum(("  statement: " in line or "  execute " in line) for line in ours)

    @staticmethod
    def _rows(ledger: "psycopg.Connection[tuple[int, ...]]", table: str) -> int:
        row = ledger.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        return row[0] if row else 0
