"""The ledger's one clock: the database's, so that leases and due times agree between machines.

Call it after the locks are taken: on PostgreSQL it moves on while a statement waits for a lock.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, text

_SQLITE = text("SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)")
_POSTGRESQL = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")


def now(tx: Connection) -> int:
    """Milliseconds since 1970 UTC."""
    statement = _SQLITE if tx.dialect.name == "sqlite" else _POSTGRESQL
    return int(tx.execute(statement).scalar_one())


def utc_day(moment_ms: int) -> str:
    """The UTC day of a moment, `YYYY-MM-DD`: the key of tallies and price lines."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).date().isoformat()


def iso(moment_ms: int | None) -> str | None:
    """A moment as ISO 8601 in UTC with milliseconds, for outputs."""
    if moment_ms is None:
        return None
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
