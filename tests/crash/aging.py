"""Time that passes in the ledger only: leases run out, a sweeper has been steady long enough, without waiting."""

import sqlite3

import psycopg

from jobs.ledger import recovery
from jobs.ledger.endings import Ending, JobFacts
from jobs.ledger.engine import Ledger

_SWEEPER = "w_sweeper"


def expire_first_worker(url: str) -> None:
    """The first worker's lease has run out, and whoever is alive has been so for ever."""
    _run(
        url,
        "UPDATE workers SET beat_at = 0 WHERE ended_at IS NULL"
        " AND started_at = (SELECT min(started_at) FROM workers)",
        "UPDATE workers SET steady_since = 0 WHERE ended_at IS NULL",
    )


def sweep(url: str) -> None:
    """Somebody on another machine, who cannot see the spool, sweeps what the first worker left."""
    ledger = Ledger(url)
    try:
        ledger.write(recovery.register_worker, _SWEEPER, "elsewhere", 1, _SWEEPER)
        expire_first_worker(url)
        swept = ledger.write(recovery.sweep, _SWEEPER, _never)
        ledger.write(recovery.sign_off, _SWEEPER)
    finally:
        ledger.close()
    assert swept.attempts, "there was nothing to sweep"


def _never(_job: JobFacts, _ending: Ending) -> int | None:
    return None


def _run(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
        try:
            for statement in statements:
                connection.execute(statement)
        finally:
            connection.close()
        return
    with psycopg.connect(url, autocommit=True) as link:
        for statement in statements:
            link.execute(statement)
