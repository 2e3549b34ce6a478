"""Admission: the one transaction after which a call may be made, and without which none is.

It claims due jobs of a batch, takes rate-limit permits, reserves the ceiling price against every budget, and writes
one open attempt per call. Called by the executor; only after its commit may a socket open. Locks are taken in
the order worker, batch, endpoint, budgets, rate limits, jobs, tallies; whatever else changes jobs or a batch's
budget locks the batch first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Text, bindparam, func, select, update

from jobs.ids import new_attempt_id
from jobs.ledger import clock
from jobs.ledger.budgets import Budget, Scope
from jobs.ledger.due import lock_due, next_due_at, queued_models
from jobs.ledger.engine import AnyRow, find_by_key
from jobs.ledger.funds import Funds, hold
from jobs.ledger.limits import lock_limits, read_pause, save_limits
from jobs.ledger.schema import attempts, batches, job_tallies, jobs, workers
from jobs.ledger.sets import EachRow, insert_rows, upsert_adding
from jobs.pacing import Caps, in_step, take, wait_ms, with_caps, without_caps
from jobs.states import BatchState, JobState

LEASE_MS = 60_000
"""A worker whose heartbeat is older is dead to everybody, itself included."""
_FREED_SOON_MS = 500
"""Calls in flight may free some of a full budget: ask again then."""


class WorkerFenced(Exception):
    """This worker's heartbeat row was swept or is too old: it must register anew before it admits again."""

    def __init__(self, worker_id: str) -> None:
        super().__init__(worker_id)
        self.worker_id = worker_id


@dataclass(frozen=True, slots=True)
class Admitted:
    """One open attempt: everything the call needs. `request` is the JSON body."""

    attempt_id: str
    batch_id: str
    row: int
    custom_id: str
    number: int
    model: str
    n: int
    request: str
    idempotency_key: str
    ceiling_nano: int
    admitted_at: int
    deadline_at: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Why nothing (more) was admitted. `for_ms` is how long to wait before asking again, if known."""

    reason: str
    """done, not_due, rate_limit, budget (the batch's own), shared_budget, batch_paused, endpoint_paused,
    model_paused, batch_closed"""
    message: str
    for_ms: int | None = None
    model: str | None = None
    """Of a rate limit: any batch waits for it with its jobs of this model."""


_NOTHING_QUEUED = Wait("done", "nothing is queued")


@dataclass(frozen=True, slots=True)
class Admission:
    admitted: list[Admitted]
    wait: Wait | None
    """None when there may be more due work at once."""


@dataclass(frozen=True, slots=True)
class Claimer:
    """Who admits: a live worker, calling one endpoint, with the limits a person stated for it."""

    worker_id: str
    endpoint: str
    caps: Caps
    deadline_ms: int
    """How long after admission an attempt may stay open."""


def admit(tx: Connection, claimer: Claimer, batch_id: str, most: int) -> Admission:
    """Admit at most `most` due jobs of the batch. Raises WorkerFenced when the worker may not."""
    find_by_key(tx)
    _require_live(tx, claimer.worker_id)
    closed = _batch_wait(tx, batch_id) or _endpoint_wait(tx, claimer.endpoint)
    if closed:
        return Admission([], closed)
    models = queued_models(tx, batch_id)
    if not models:
        return Admission([], _NOTHING_QUEUED)
    funds = hold(tx, batch_id)
    claimed: list[AnyRow] = []
    waits: list[Wait] = []
    for left, model in zip(range(len(models), 0, -1), models, strict=True):
        share = -(-(most - len(claimed)) // left)
        rows, wait = _claim(tx, claimer, batch_id, model, share, funds)
        claimed += rows
        if wait:
            waits.append(wait)
    funds.reserve()
    admitted = _open_attempts(tx, claimer, batch_id, claimed, funds.now)
    return Admission(admitted, None if len(admitted) == most else _most_telling(waits))


def read_admitted(tx: Connection, attempt_ids: Sequence[str]) -> dict[str, Admitted]:
    """Attempts as they were admitted, open or not: for answers that a dead process left behind."""
    columns = (jobs.c.custom_id, jobs.c.n, jobs.c.request, jobs.c.key_number)
    statement = (
        select(attempts, *columns)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .where(attempts.c.id.in_(attempt_ids))
    )
    return {
        row.id: Admitted(
            attempt_id=row.id,
            batch_id=row.batch_id,
            row=row.row,
            custom_id=row.custom_id,
            number=row.number,
            model=row.model,
            n=row.n,
            request=row.request,
            idempotency_key=f"{row.batch_id}-{row.row}-{row.key_number}",
            ceiling_nano=row.ceiling_nano,
            admitted_at=row.admitted_at,
            deadline_at=row.deadline_at,
        )
        for row in tx.execute(statement)
    }


def _require_live(tx: Connection, worker_id: str) -> None:
    row = tx.execute(_HEARTBEAT, {"worker": worker_id}).one_or_none()
    if row is None or row.ended_at is not None or clock.now(tx) - row.beat_at > LEASE_MS:
        raise WorkerFenced(worker_id)


def _batch_wait(tx: Connection, batch_id: str) -> Wait | None:
    row = tx.execute(_STANDING, {"batch": batch_id}).one_or_none()
    if row is None:
        return Wait("batch_closed", f"there is no batch {batch_id}")
    if row.state == BatchState.OPEN:
        return None
    if row.state == BatchState.PAUSED:
        return Wait("batch_paused", row.pause_reason or "paused")
    return Wait("done" if row.state == BatchState.DONE else "batch_closed", f"the batch is {row.state}")


def _endpoint_wait(tx: Connection, endpoint: str) -> Wait | None:
    paused = read_pause(tx, endpoint)
    return Wait("endpoint_paused", f"{paused.kind}: {paused.message}") if paused else None


def _claim(
    tx: Connection, claimer: Claimer, batch_id: str, model: str, most: int, funds: Funds
) -> tuple[Sequence[AnyRow], Wait | None]:
    """Due jobs of one model that every budget holds, with permits taken, and why there were not `most` of them."""
    limits, paused = lock_limits(tx, claimer.endpoint, model)
    if paused:
        return [], Wait("model_paused", f"{model}: {paused.kind}: {paused.message}")
    now = clock.now(tx)
    if (stepped := in_step(limits, now)) is not limits:
        limits = stepped
        save_limits(tx, claimer.endpoint, model, limits)
    in_force = with_caps(limits, claimer.caps)
    blocked_ms = wait_ms(in_force, now)
    if blocked_ms:
        return [], Wait("rate_limit", f"rate limit on {model}", blocked_ms, model)
    # Before the permits: a call that no money is left for must not use up those of other batches.
    funded, full = _fund(tx, batch_id, model, now, most, funds)
    granted, spent = take(in_force, now, [(row.n, row.tokens) for row in funded])
    if granted:
        save_limits(tx, claimer.endpoint, model, without_caps(spent, limits))
    if granted < len(funded):
        funds.give_back(funded[granted:])
        return funded[:granted], Wait("rate_limit", f"rate limit on {model}", wait_ms(spent, now), model)
    if full:
        return funded, _full_wait(full, funds)
    return funded, _not_due(tx, batch_id, model, now) if len(funded) < most else None


def _fund(
    tx: Connection, batch_id: str, model: str, now: int, most: int, funds: Funds
) -> tuple[list[AnyRow], Budget | None]:
    """Due jobs in order, as far as there is money, and the budget for which there are less than `most`. The jobs of
    a tag whose budget is full are passed over; any other budget that does not hold the next job ends it."""
    funded: list[AnyRow] = []
    full_tags: list[Budget] = []
    while True:
        rows = lock_due(tx, batch_id, model, now, most - len(funded), [row.row for row in funded], full_tags)
        more, full = funds.fund(rows)
        funded += more
        if full is None:
            return funded, full_tags[-1] if full_tags and len(funded) < most else None
        if full.scope is not Scope.TAG:
            return funded, full
        full_tags.append(full)


def _full_wait(full: Budget, funds: Funds) -> Wait:
    if full.scope is Scope.BATCH:
        return Wait("budget", "the budget does not hold the next call's ceiling price")
    message = f"the budget {full.name} does not hold the next call's ceiling price"
    return Wait("shared_budget", message, _FREED_SOON_MS if funds.may_be_freed(full) else None)


def _not_due(tx: Connection, batch_id: str, model: str, now: int) -> Wait:
    """Why there are no more due jobs: those that were due are being claimed."""
    first = next_due_at(tx, batch_id, model, now)
    return _NOTHING_QUEUED if first is None else Wait("not_due", "waiting for a retry's due time", first - now)


def _open_attempts(
    tx: Connection, claimer: Claimer, batch_id: str, claimed: list[AnyRow], now: int
) -> list[Admitted]:
    if not claimed:
        return []
    admitted = [_admitted(batch_id, job, now, now + claimer.deadline_ms) for job in claimed]
    # queued -> running. Guarded by the claim: the rows are locked and were read as queued in this transaction.
    _START.run(tx, [{"batch": batch_id, "manifest_row": job.row, "now": now} for job in claimed])
    insert_rows(tx, attempts, [_attempt_row(claimer, one) for one in admitted])
    moved: dict[str, int] = {}
    for one in admitted:
        moved[one.model] = moved.get(one.model, 0) + 1
    upsert_adding(
        tx,
        job_tallies,
        [
            {"batch_id": batch_id, "model": model, "state": state, "jobs": sign * count}
            for model, count in moved.items()
            for state, sign in ((JobState.QUEUED.value, -1), (JobState.RUNNING.value, 1))
        ],
    )
    return admitted


def _admitted(batch_id: str, job: AnyRow, now: int, deadline_at: int) -> Admitted:
    return Admitted(
        attempt_id=new_attempt_id(),
        batch_id=batch_id,
        row=job.row,
        custom_id=job.custom_id,
        number=job.attempts + 1,
        model=job.model,
        n=job.n,
        request=job.request,
        idempotency_key=f"{batch_id}-{job.row}-{job.key_number}",
        ceiling_nano=job.ceiling_nano,
        admitted_at=now,
        deadline_at=deadline_at,
    )


def _attempt_row(claimer: Claimer, one: Admitted) -> dict[str, Any]:
    return {
        "id": one.attempt_id,
        "batch_id": one.batch_id,
        "row": one.row,
        "number": one.number,
        "worker_id": claimer.worker_id,
        "endpoint": claimer.endpoint,
        "model": one.model,
        "admitted_at": one.admitted_at,
        "deadline_at": one.deadline_at,
        "ceiling_nano": one.ceiling_nano,
    }


def _most_telling(waits: Sequence[Wait]) -> Wait | None:
    """The one that ends first, since more can be admitted then; else the budget's, which needs a person; else any
    that still has jobs."""

    def rank(wait: Wait) -> tuple[bool, int, bool, bool]:
        return wait.for_ms is None, wait.for_ms or 0, wait.reason != "budget", wait.reason == "done"

    return min(waits, key=rank, default=None)


# Built once: every admission runs them.
_HEARTBEAT = (
    select(workers.c.beat_at, workers.c.ended_at)
    .where(workers.c.id == bindparam("worker"))
    .with_for_update(read=True)
)
_STANDING = (
    select(batches.c.state, batches.c.pause_reason)
    .where(batches.c.id == bindparam("batch"))
    .with_for_update(read=True)
)
_START = EachRow(
    {"batch": Text(), "manifest_row": BigInteger(), "now": BigInteger()},
    lambda given: (
        update(jobs)
        .where(jobs.c.batch_id == given["batch"], jobs.c.row == given["manifest_row"])
        .values(
            state=JobState.RUNNING.value,
            attempts=jobs.c.attempts + 1,
            first_admitted_at=func.coalesce(jobs.c.first_admitted_at, given["now"]),
        )
    ),
)
