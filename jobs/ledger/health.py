"""What `doctor` asks the ledger beside its durability: is its clock right, which models does it know."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from jobs.ledger import clock
from jobs.ledger.schema import attempt_tallies, job_tallies


def clock_ahead_s(tx: Connection, local_ms: int) -> float:
    """By how many seconds the database's clock is ahead of this machine's."""
    return (clock.now(tx) - local_ms) / 1000


def models_in_use(tx: Connection) -> Sequence[str]:
    """Every model that a batch of this ledger asks for or was charged for."""
    asked = select(job_tallies.c.model).union(select(attempt_tallies.c.model))
    return sorted(tx.execute(asked).scalars())
