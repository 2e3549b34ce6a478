"""The queue as admission sees it: which jobs of a batch come next, model by model, in manifest order.

Admission locks what it takes; figures ask the same questions without locks.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from jobs.ledger.budgets import Budget, tagged
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import job_tallies, jobs, tag_sets
from jobs.states import JobState


def queued_models(tx: Connection, batch_id: str) -> Sequence[str]:
    """Models that have queued jobs in the batch, by name."""
    statement = (
        select(job_tallies.c.model)
        .where(job_tallies.c.batch_id == batch_id, job_tallies.c.state == JobState.QUEUED, job_tallies.c.jobs > 0)
        .order_by(job_tallies.c.model)
    )
    return tx.execute(statement).scalars().all()


def next_jobs(columns: Select[Any], batch_id: str, model: str, full_tags: Sequence[Budget]) -> Select[Any]:
    """The order in which queued jobs of one model are admitted, those with a full tag left out."""
    mine = (jobs.c.batch_id == batch_id, jobs.c.model == model, jobs.c.state == JobState.QUEUED)
    statement = columns.where(*mine).order_by(jobs.c.due_at, jobs.c.row)
    if not full_tags:
        return statement
    theirs = select(tag_sets.c.id).where(or_(*(tagged(one.key) for one in full_tags)))
    return statement.where(jobs.c.tag_set.not_in(theirs))


def lock_due(
    tx: Connection,
    batch_id: str,
    model: str,
    now: int,
    most: int,
    taken: Sequence[int],
    full_tags: Sequence[Budget],
) -> Sequence[AnyRow]:
    """The next due jobs in manifest order, locked, without those taken already or with a full tag; rows another
    worker is claiming are passed over."""
    columns = (jobs.c.row, jobs.c.custom_id, jobs.c.model, jobs.c.n, jobs.c.request, jobs.c.tokens)
    counters = (jobs.c.ceiling_nano, jobs.c.attempts, jobs.c.key_number, jobs.c.tag_set)
    statement = next_jobs(select(*columns, *counters), batch_id, model, full_tags).where(jobs.c.due_at <= now)
    if taken:
        statement = statement.where(jobs.c.row.not_in(taken))
    return tx.execute(statement.limit(most).with_for_update(skip_locked=True, of=jobs)).all()


def next_due_at(tx: Connection, batch_id: str, model: str, now: int) -> int | None:
    """When the first of the jobs that are not due yet will be."""
    statement = select(func.min(jobs.c.due_at)).where(
        jobs.c.batch_id == batch_id,
        jobs.c.model == model,
        jobs.c.state == JobState.QUEUED,
        jobs.c.due_at > now,
    )
    return tx.execute(statement).scalar()
