"""Settlement: one transaction that books how a group of attempts ended.

Locks the attempts and their jobs, lets `endings.resolve` decide each, and writes: attempts, jobs, images, charges,
the budget's sums and the tallies. Keyed by attempt and repeatable: an attempt that is settled already changes
nothing. Locks are taken in the order batches, attempts and jobs, budgets, tallies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from jobs.ledger import clock
from jobs.ledger.books import Books
from jobs.ledger.endings import AttemptFacts, Ending, JobFacts, RetryDecision, resolve
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import attempts, batches, job_tallies, jobs
from jobs.states import UNFINISHED, BatchState, JobState, Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """What one settlement did: attempts booked, jobs that reached a final or held state, batches now done."""

    attempts: int
    jobs_ended: int
    batches_done: tuple[str, ...]


def settle(tx: Connection, endings: Sequence[Ending], retry: RetryDecision) -> Settled:
    """Book the endings. Those of attempts that are unknown to the ledger or settled already are passed over."""
    booked: list[Books] = []
    left = list(endings)
    while left:
        books, left = _settle_each_job_once(tx, left, retry)
        booked.append(books)
    batch_ids = sorted({batch_id for books in booked for batch_id in books.batches})
    return Settled(
        attempts=sum(len(books.attempts) for books in booked),
        jobs_ended=sum(books.jobs_ended for books in booked),
        batches_done=close_finished(tx, batch_ids) if batch_ids else (),
    )


def _settle_each_job_once(
    tx: Connection, endings: Sequence[Ending], retry: RetryDecision
) -> tuple[Books, list[Ending]]:
    """Book one ending of each job, and return those that are left: a second attempt of the same job, answered
    late, has to be decided on what the first one made of the job."""
    found = {row.id: row for row in _lock(tx, [ending.attempt_id for ending in endings])}
    books = Books(clock.now(tx))
    decided: set[tuple[str, int]] = set()
    left: list[Ending] = []
    for ending in endings:
        row = found.pop(ending.attempt_id, None)
        if row is None:
            continue
        if (row.batch_id, row.row) in decided:
            left.append(ending)
            continue
        decided.add((row.batch_id, row.row))
        change = resolve(_attempt_facts(row), _job_facts(row, books.now), ending, retry)
        if change:
            books.post(row, ending, change)
    books.write(tx)
    return books, left


def _lock(tx: Connection, attempt_ids: Sequence[str]) -> Sequence[AnyRow]:
    """Attempts with their jobs and their batch's policy, locked in one order. Batches come first: a cancel is then
    before or after this settlement, and two settlements that may both close a batch never wait in a circle."""
    theirs = select(attempts.c.batch_id).where(attempts.c.id.in_(attempt_ids))
    held = select(batches.c.id).where(batches.c.id.in_(theirs)).order_by(batches.c.id)
    tx.execute(held.with_for_update(key_share=True))
    statement = (
        select(
            attempts.c.id,
            attempts.c.batch_id,
            attempts.c.row,
            attempts.c.number,
            attempts.c.outcome,
            attempts.c.ended_at,
            attempts.c.ceiling_nano,
            attempts.c.model,
            jobs.c.state,
            jobs.c.attempts,
            jobs.c.counted,
            jobs.c.unknowns,
            jobs.c.images,
            jobs.c.possible_nano.label("job_possible_nano"),
            jobs.c.first_admitted_at,
            jobs.c.tag_set,
            jobs.c.error_kind,
            jobs.c.error_message,
            batches.c.state.label("batch_state"),
            batches.c.max_attempts,
            batches.c.retry_unknown,
            batches.c.time_limit_s,
        )
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .join(batches, batches.c.id == attempts.c.batch_id)
        .where(attempts.c.id.in_(attempt_ids))
        .order_by(attempts.c.batch_id, attempts.c.row, attempts.c.number)
        .with_for_update(of=[attempts, jobs])
    )
    return tx.execute(statement).all()


def _attempt_facts(row: AnyRow) -> AttemptFacts:
    return AttemptFacts(row.number, Outcome(row.outcome) if row.outcome else None, row.ceiling_nano)


def _job_facts(row: AnyRow, now: int) -> JobFacts:
    return JobFacts(
        state=JobState(row.state),
        attempts=row.attempts,
        counted=row.counted,
        unknowns=row.unknowns,
        images=row.images,
        possible_nano=row.job_possible_nano,
        # None: queued afresh by a person while an answer to an earlier attempt was still to come.
        age_ms=now - (row.first_admitted_at or now),
        batch_cancelled=row.batch_state == BatchState.CANCELLED,
        max_attempts=row.max_attempts,
        retry_unknown=row.retry_unknown,
        time_limit_ms=row.time_limit_s * 1000,
    )


def close_finished(tx: Connection, batch_ids: Sequence[str]) -> tuple[str, ...]:
    """Move the open batches among `batch_ids` that have nothing queued or running to done."""
    unfinished = (
        select(func.coalesce(func.sum(job_tallies.c.jobs), 0))
        .where(job_tallies.c.batch_id == batches.c.id, job_tallies.c.state.in_(sorted(UNFINISHED)))
        .scalar_subquery()
    )
    statement = (
        update(batches)
        .where(batches.c.id.in_(batch_ids), batches.c.state == BatchState.OPEN, unfinished == 0)
        .values(state=BatchState.DONE.value, ended_at=clock.now(tx))
        .returning(batches.c.id)
    )
    return tuple(tx.execute(statement).scalars().all())
