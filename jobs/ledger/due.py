"""The queue as admission sees it: which jobs of a batch come next, model by model, in manifest order.

Admission locks what it takes; figures ask the same questions without locks.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, func, literal_column, or_, select

from jobs.ledger.budgets import Budget, tagged
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import job_tallies, jobs, tag_sets
from jobs.states import JobState


def queued_models(tx: Connection, batch_id: str) -> Sequence[str]:
    """Models that have queued jobs in the batch, by name."""
    return tx.execute(_MODELS, {"batch": batch_id}).scalars().all()


def next_jobs(columns: Select[Any], batch_id: str, model: str, full_tags: Sequence[Budget]) -> Select[Any]:
    """The order in which queued jobs of one model are admitted, those with a full tag left out."""
    mine = (jobs.c.batch_id == batch_id, jobs.c.model == model, _QUEUED)
    return columns.where(*mine, *_without(full_tags)).order_by(*_ORDER)


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
    statement = _DUE.where(*_without(full_tags))
    if taken:
        statement = statement.where(jobs.c.row.not_in(taken))
    return tx.execute(statement, {"batch": batch_id, "model": model, "now": now, "most": most}).all()


def next_due_at(tx: Connection, batch_id: str, model: str, now: int) -> int | None:
    """When the first of the jobs that are not due yet will be."""
    statement = select(func.min(jobs.c.due_at)).where(
        jobs.c.batch_id == batch_id,
        jobs.c.model == model,
        _QUEUED,
        jobs.c.due_at > now,
    )
    return tx.execute(statement).scalar()


def _without(full_tags: Sequence[Budget]) -> tuple[ColumnElement[bool], ...]:
    """The condition that a job has none of these tags."""
    if not full_tags:
        return ()
    theirs = select(tag_sets.c.id).where(or_(*(tagged(one.key) for one in full_tags)))
    return (jobs.c.tag_set.not_in(theirs),)


_MODELS = (
    select(job_tallies.c.model)
    .where(job_tallies.c.batch_id == bindparam("batch"), job_tallies.c.state == JobState.QUEUED)
    .where(job_tallies.c.jobs > 0)
    .order_by(job_tallies.c.model)
)

# Written out, not a parameter: else a plan that is kept cannot see that the index of queued jobs serves it.
_QUEUED = jobs.c.state == literal_column(f"'{JobState.QUEUED}'")
_ORDER = (jobs.c.due_at, jobs.c.row)
_DUE = (
    select(
        *(jobs.c.row, jobs.c.custom_id, jobs.c.model, jobs.c.n, jobs.c.request, jobs.c.tokens),
        *(jobs.c.ceiling_nano, jobs.c.attempts, jobs.c.key_number, jobs.c.tag_set),
    )
    .where(jobs.c.batch_id == bindparam("batch"), jobs.c.model == bindparam("model"), _QUEUED)
    .where(jobs.c.due_at <= bindparam("now"))
    .order_by(*_ORDER)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True, of=jobs)
)
