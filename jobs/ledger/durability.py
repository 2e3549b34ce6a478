"""Whether the database keeps what it has confirmed, also through a power cut. A worker asks before it starts."""

from sqlalchemy import text

from jobs.errors import LedgerError
from jobs.ledger.engine import Ledger


def weaknesses(ledger: Ledger) -> list[str]:
    """One sentence for each setting under which a confirmed commit could be lost; empty: none."""
    return _sqlite(ledger) if ledger.is_sqlite else _postgresql(ledger)


def require_durable(ledger: Ledger) -> None:
    """Raise LedgerError with what is weak and how to mend it."""
    if found := weaknesses(ledger):
        raise LedgerError("; ".join(found))


def _sqlite(ledger: Ledger) -> list[str]:
    with ledger.read() as tx:
        mode = tx.execute(text("PRAGMA journal_mode")).scalar_one()
        synchronous = tx.execute(text("PRAGMA synchronous")).scalar_one()
    found = []
    if str(mode).lower() != "wal":
        found.append(
            f"the database file is in journal mode {mode}, not WAL: its disk may not support shared memory"
        )
    if int(synchronous) < 2:
        found.append("SQLite runs with synchronous below FULL")
    return found


def _postgresql(ledger: Ledger) -> list[str]:
    found = []
    with ledger.read() as tx:
        if tx.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
            found.append("this PostgreSQL server is a standby and takes no writes: name the primary")
        for name, why in (
            ("fsync", "commits do not reach the disk: set fsync = on in postgresql.conf"),
            ("synchronous_commit", "a confirmed commit can be lost: set synchronous_commit = on"),
            ("full_page_writes", "a torn page can lose the table: set full_page_writes = on"),
        ):
            value = tx.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one()
            if value == "off":
                found.append(f"PostgreSQL has {name} = off; {why}")
    return found
