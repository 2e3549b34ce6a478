"""What `doctor` asks the ledger beside its durability: is its clock right, which models does it know."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from jobs.ledger import clock
from jobs.ledger.admission import LEASE_MS
from jobs.ledger.schema import attempt_tallies, job_tallies, workers


def clock_ahead_s(tx: Connection, local_ms: int) -> float:
    """By how many seconds the database's clock is ahead of this machine's."""
    return (clock.now(tx) - local_ms) / 1000


def live_workers_of(tx: Connection, host: str) -> int:
    """Workers of one host whose heartbeat is fresh: they poll the ledger, whatever the broker does."""
    fresh = workers.c.beat_at > clock.now(tx) - LEASE_MS
    statement = select(func.count()).where(workers.c.host == host, workers.c.ended_at.is_(None), fresh)
    return int(tx.execute(statement).scalar_one())


def models_in_use(tx: Connection) -> Sequence[str]:
    """Every model that a batch of this ledger asks for or was charged for."""
    asked = select(job_tallies.c.model).union(select(attempt_tallies.c.model))
    return sorted(tx.execute(asked).scalars())
