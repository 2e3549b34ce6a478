"""What `doctor` asks the ledger: is it durable, is its clock right, which models does it price, who is alive."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from jobs.ledger import clock
from jobs.ledger.schema import attempt_tallies, job_tallies


@dataclass(frozen=True, slots=True)
class Durability:
    """The settings that decide whether a returned commit survives a power cut."""

    settings: dict[str, str]
    durable: bool


def durability(tx: Connection) -> Durability:
    if tx.dialect.name == "sqlite":
        modes = {name: str(tx.execute(text(f"PRAGMA {name}")).scalar()) for name in ("journal_mode", "synchronous")}
        return Durability(modes, modes["journal_mode"] == "wal" and int(modes["synchronous"]) >= 2)
    names = ("fsync", "synchronous_commit", "full_page_writes")
    modes = {name: str(tx.execute(text(f"SHOW {name}")).scalar()) for name in names}
    return Durability(modes, modes["fsync"] == "on" and modes["synchronous_commit"] not in ("off", "local"))


def clock_ahead_s(tx: Connection, local_ms: int) -> float:
    """By how many seconds the database's clock is ahead of this machine's."""
    return (clock.now(tx) - local_ms) / 1000


def models_in_use(tx: Connection) -> Sequence[str]:
    """Every model that a batch of this ledger asks for or was charged for."""
    asked = select(job_tallies.c.model).union(select(attempt_tallies.c.model))
    return sorted(tx.execute(asked).scalars())
