"""What people do to a batch: pause, resume, cancel, retry. Each is guarded moves that say how many they moved."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, func, select, update

from jobs.ledger import clock
from jobs.ledger.budgets import Scope, set_cap
from jobs.ledger.schema import batches, budgets, job_tallies, jobs
from jobs.ledger.sets import upsert_adding
from jobs.ledger.settlement import close_finished
from jobs.states import BatchState, JobState


def pause(tx: Connection, batch_id: str, reason: str) -> bool:
    """open -> paused. After this commit nothing of the batch is admitted; calls in flight end as usual."""
    return _move(tx, batch_id, BatchState.OPEN, state=BatchState.PAUSED.value, pause_reason=reason)


def resume(tx: Connection, batch_id: str) -> bool:
    """paused -> open."""
    moved = _move(tx, batch_id, BatchState.PAUSED, state=BatchState.OPEN.value, pause_reason=None)
    close_finished(tx, [batch_id])
    return moved


def stop_at_budget(tx: Connection, batch_id: str) -> bool:
    """open -> paused (budget), once no call in flight can free any of the budget any more."""
    lock_batch(tx, batch_id)
    in_flight = select(budgets.c.reserved_nano).where(budgets.c.scope == "batch", budgets.c.key == batch_id)
    if tx.execute(in_flight.with_for_update()).scalar_one() > 0:
        return False
    return pause(tx, batch_id, "budget")


def set_budget(tx: Connection, batch_id: str, cap_nano: int | None) -> None:
    set_cap(tx, Scope.BATCH, batch_id, cap_nano)


def cancel(tx: Connection, batch_id: str) -> int:
    """open or paused -> cancelled; its queued jobs with it. Calls in flight end and settle. Returns jobs moved."""
    closed = {"state": BatchState.CANCELLED.value, "ended_at": clock.now(tx), "pause_reason": None}
    live = batches.c.state.in_([BatchState.OPEN, BatchState.PAUSED])
    if not tx.execute(update(batches).where(batches.c.id == batch_id, live).values(**closed)).rowcount:
        return 0
    return _move_jobs(tx, batch_id, [JobState.QUEUED], JobState.CANCELLED)


def retry(tx: Connection, batch_id: str, states: Sequence[JobState], *narrowed: ColumnElement[bool]) -> int:
    """Queue jobs in these states that fit what narrows them again, with fresh limits of attempts and time; opens a
    batch that was done.

    A held job keeps its Idempotency-Key, since its last attempt was not answered for certain.
    """
    lock_batch(tx, batch_id)
    moved = _move_jobs(tx, batch_id, states, JobState.QUEUED, *narrowed)
    if moved:
        opened = {"state": BatchState.OPEN.value, "ended_at": None}
        done = (batches.c.id == batch_id, batches.c.state.in_([BatchState.DONE, BatchState.CANCELLED]))
        tx.execute(update(batches).where(*done).values(**opened))
    return moved


def hold(tx: Connection, batch_id: str, kind: str, message: str) -> int:
    """Hold every queued job of the batch for a person's word, with the reason; returns jobs moved."""
    lock_batch(tx, batch_id)
    queued = (jobs.c.batch_id == batch_id, jobs.c.state == JobState.QUEUED)
    tx.execute(update(jobs).where(*queued).values(error_kind=kind, error_message=message))
    moved = _move_jobs(tx, batch_id, [JobState.QUEUED], JobState.HELD)
    close_finished(tx, [batch_id])
    return moved


def worst_case(
    tx: Connection, batch_id: str, states: Sequence[JobState], *narrowed: ColumnElement[bool]
) -> tuple[int, int]:
    """(jobs, ceiling in nano-dollars) that `retry` would queue."""
    statement = select(func.count(), func.coalesce(func.sum(jobs.c.ceiling_nano), 0))
    chosen = (jobs.c.batch_id == batch_id, jobs.c.state.in_(states), *narrowed)
    count, ceiling = tx.execute(statement.where(*chosen)).one()
    return int(count), int(ceiling)


def narrowed_to(error_kind: str | None, model: str | None) -> list[ColumnElement[bool]]:
    """For `retry` and `worst_case`: of one cause or model, where they are named."""
    named = [] if error_kind is None else [jobs.c.error_kind == error_kind]
    return named if model is None else [*named, jobs.c.model == model]


def lock_batch(tx: Connection, batch_id: str) -> None:
    """Wait until admissions and settlements of the batch under way have ended, and keep others out: each of
    them locks the batch first."""
    tx.execute(select(batches.c.id).where(batches.c.id == batch_id).with_for_update())


def _move(tx: Connection, batch_id: str, start: BatchState, **values: object) -> bool:
    statement = update(batches).where(batches.c.id == batch_id, batches.c.state == start)
    return tx.execute(statement.values(**values)).rowcount == 1


def _move_jobs(
    tx: Connection, batch_id: str, starts: Sequence[JobState], end: JobState, *narrowed: ColumnElement[bool]
) -> int:
    """Move every job of the batch in one of the states that fits what narrows them, and the tallies with them. The
    caller has locked the batch, so that what is counted is what is moved."""
    chosen = (jobs.c.batch_id == batch_id, jobs.c.state.in_(starts), *narrowed)
    # Counted first: the update cannot say from which state each row came.
    by = (jobs.c.model, jobs.c.state)
    statement = select(*by, func.count().label("jobs")).where(*chosen).group_by(*by)
    counts = {(row.model, row.state): int(row.jobs) for row in tx.execute(statement)}
    fresh = {"counted": 0, "first_admitted_at": None, "due_at": 0} if end is JobState.QUEUED else {}
    # A doubt that a person sends again is no longer what holds the job; the next one would be.
    allowance = {"unknowns": case((jobs.c.state == JobState.HELD, 0), else_=jobs.c.unknowns)} if fresh else {}
    tx.execute(update(jobs).where(*chosen).values(state=end.value, **fresh, **allowance))
    changes: dict[tuple[str, str], int] = {}
    for (model, state), count in counts.items():
        changes[model, state] = changes.get((model, state), 0) - count
        changes[model, end.value] = changes.get((model, end.value), 0) + count
    rows = [
        {"batch_id": batch_id, "model": model, "state": state, "jobs": n} for (model, state), n in changes.items()
    ]
    upsert_adding(tx, job_tallies, rows)
    return sum(counts.values())
