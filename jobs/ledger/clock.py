"""The ledger's one clock: the database's, so that leases and due times agree between machines.

Call it after the locks are taken: on PostgreSQL it moves on while a statement waits for a lock.
"""

from datetime import date, timedelta
from functools import lru_cache

from sqlalchemy import Connection, text

_DAY_MS = 86_400_000
_MINUTES_A_DAY = 1_440
_SQLITE = text("SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)")
_POSTGRESQL = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")


def now(tx: Connection) -> int:
    """Milliseconds since 1970 UTC."""
    statement = _SQLITE if tx.dialect.name == "sqlite" else _POSTGRESQL
    return int(tx.execute(statement).scalar_one())


def utc_day(moment_ms: int) -> str:
    """The UTC day of a moment, `YYYY-MM-DD`: the key of tallies and price lines."""
    return _day(moment_ms // _DAY_MS)


def iso(moment_ms: int | None) -> str | None:
    """A moment as ISO 8601 in UTC with milliseconds, for outputs."""
    if moment_ms is None:
        return None
    minute, ms = divmod(moment_ms, 60_000)
    return f"{_minute(minute)}:{ms // 1000:02}.{ms % 1000:03}Z"


# Kept: a listing words two moments in every line, most of them of minutes that were just worded.
@lru_cache(maxsize=1024)
def _minute(number: int) -> str:
    minute = number % _MINUTES_A_DAY
    return f"{_day(number // _MINUTES_A_DAY)}T{minute // 60:02}:{minute % 60:02}"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
