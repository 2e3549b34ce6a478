"""A ledger that was restored from a backup: how it is noticed, and how its jobs are kept from running twice.

Attempts that a worker has made and the ledger does not know prove it. Jobs that the backup shows as queued may have
run since; an operator's word holds them all, and from then on calls made before that word are no reason to stop.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from jobs.ledger import control
from jobs.ledger.acts import Act, record
from jobs.ledger.schema import acts, attempts, batches, job_tallies
from jobs.states import JobState

_VERB = "db restored"


@dataclass(frozen=True, slots=True)
class Noted:
    """An attempt that a machine remembers, admitted at that moment of the ledger's clock."""

    batch_id: str
    attempt: str
    admitted_at: int


@dataclass(frozen=True, slots=True)
class QueuedBatch:
    """A batch with queued jobs."""

    batch_id: str
    name: str
    jobs: int


def missing(tx: Connection, attempt_ids: Collection[str]) -> list[str]:
    """Those of the attempts that the ledger has never heard of."""
    known = tx.execute(select(attempts.c.id).where(attempts.c.id.in_(attempt_ids))).scalars().all()
    return sorted(set(attempt_ids) - set(known))


def forgotten(tx: Connection, noted: Collection[Noted]) -> list[Noted]:
    """Attempts of known batches that the ledger has lost since the last `hold_queued`. A batch that it does not
    know either cannot run again, and may well be another ledger's."""
    word = tx.execute(select(func.max(acts.c.at)).where(acts.c.verb == _VERB)).scalar() or 0
    named = {one.batch_id for one in noted}
    known = set(tx.execute(select(batches.c.id).where(batches.c.id.in_(named))).scalars())
    recent = {one.attempt: one for one in noted if one.batch_id in known and one.admitted_at > word}
    return [recent[attempt] for attempt in missing(tx, recent)]


def queued_batches(tx: Connection) -> list[QueuedBatch]:
    """Every batch with queued jobs, the oldest first."""
    queued = func.sum(job_tallies.c.jobs)
    statement = (
        select(batches.c.id, batches.c.name, queued)
        .join(job_tallies, job_tallies.c.batch_id == batches.c.id)
        .where(job_tallies.c.state == JobState.QUEUED)
        .group_by(batches.c.id, batches.c.name, batches.c.created_at)
        .having(queued > 0)
        .order_by(batches.c.created_at, batches.c.id)
    )
    return [QueuedBatch(batch_id, name, int(jobs)) for batch_id, name, jobs in tx.execute(statement)]


def hold_queued(tx: Connection, who: str) -> int:
    """Hold every queued job and let workers go on; returns how many were held."""
    held = sum(
        control.hold(tx, one.batch_id, "ledger_restored", "the database was restored: this job may have run before")
        for one in queued_batches(tx)
    )
    record(tx, Act(who, _VERB, what={"moved": held}))
    return held
