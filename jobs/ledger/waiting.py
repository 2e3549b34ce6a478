"""Why a batch does not go on: pauses, full budgets, missing workers, rate limits, due times.

Told here, decided by admission, which asks the same questions of the same rows under its locks.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from jobs.ledger import budgets, clock
from jobs.ledger.admission import LEASE_MS
from jobs.ledger.budgets import Budget, Scope, tags_of, unknown_attempts
from jobs.ledger.due import next_jobs, queued_models
from jobs.ledger.engine import AnyRow
from jobs.ledger.limits import Paused, blocked_until, list_pauses
from jobs.ledger.schema import job_tallies, jobs, workers
from jobs.money import dollars
from jobs.states import BatchState, JobState

FULL = "budget full"
"""How the words begin where a budget that batches share does not hold the next call."""


def live_workers(tx: Connection) -> int:
    alive = (workers.c.ended_at.is_(None), workers.c.beat_at > clock.now(tx) - LEASE_MS)
    return int(tx.execute(select(func.count()).select_from(workers).where(*alive)).scalar_one())


def stopped_by_endpoint(tx: Connection, batch_id: str, endpoint: str) -> Paused | None:
    """The pause that keeps every queued job of the batch waiting for a person, if there is one."""
    pauses = {paused.model: paused for paused in list_pauses(tx, endpoint)}
    models = queued_models(tx, batch_id)
    if not models or not pauses:
        return None
    if None in pauses:
        return pauses[None]
    return pauses[models[0]] if all(model in pauses for model in models) else None


def stopped_by_budget(tx: Connection, batch_id: str) -> Budget | None:
    """The shared budget that keeps every queued job of the batch waiting, if no call in flight can free any of it:
    the batch goes on after a person's decision, or with the new day or month."""
    full = _full_budget(tx, batch_id)
    return full if full and not full.reserved_nano else None


def waiting_for(tx: Connection, batch: AnyRow, by_state: dict[str, int], endpoint: str | None) -> str | None:
    """Why the batch does not run at full speed, in words a person can act on; None when it does."""
    if batch.state == BatchState.PAUSED:
        return f"paused: {batch.pause_reason or 'operator'}"
    if batch.state != BatchState.OPEN or not by_state["queued"]:
        return None
    for paused in list_pauses(tx, endpoint):
        return f"endpoint paused{f' for {paused.model}' if paused.model else ''}: {paused.kind}: {paused.message}"
    if full := _full_budget(tx, batch.id):
        return _full_words(full, unknown_attempts(tx, full))
    if not live_workers(tx):
        return "no worker is running"
    now = clock.now(tx)
    queued = (jobs.c.batch_id == batch.id, jobs.c.state == JobState.QUEUED)
    models = list(
        tx.execute(select(job_tallies.c.model).where(job_tallies.c.batch_id == batch.id).distinct()).scalars()
    )
    blocked = blocked_until(tx, models, endpoint) - now
    if blocked > 0:
        return f"rate limit, next slot in {blocked / 1000:.0f} s"
    due = [tx.execute(select(func.min(jobs.c.due_at)).where(*queued, jobs.c.model == m)).scalar() for m in models]
    soonest = min((moment for moment in due if moment is not None), default=now)
    return f"retry due in {(soonest - now) / 1000:.0f} s" if soonest > now else None


def _full_budget(tx: Connection, batch_id: str) -> Budget | None:
    """The shared budget for which the batch can have nothing admitted. Its own pauses it, and is no matter here."""
    held = budgets.read(tx, [batch_id])
    if all(one.scope is Scope.BATCH for one in held):
        return None
    stops = [_stopping(tx, batch_id, model, held) for model in queued_models(tx, batch_id)]
    shared = [one for one in stops if one and one.scope is not Scope.BATCH]
    return shared[0] if shared and all(stops) else None


def _stopping(tx: Connection, batch_id: str, model: str, held: Sequence[Budget]) -> Budget | None:
    """The budget that does not hold the next job of a model, as admission goes through them."""
    day = budgets.today(tx)
    full_tags: list[Budget] = []
    while True:
        columns = select(jobs.c.ceiling_nano, jobs.c.tag_set)
        row = tx.execute(next_jobs(columns, batch_id, model, full_tags).limit(1)).first()
        if row is None:
            return full_tags[-1] if full_tags else None
        tags = tags_of(tx, [row.tag_set], held).get(row.tag_set, "")
        covering = (one for one in held if one.covers(batch_id, day, tags))
        full = next((one for one in covering if not one.holds(row.ceiling_nano)), None)
        if full is None or full.scope is not Scope.TAG:
            return full
        full_tags.append(full)


def _full_words(full: Budget, unknown: int) -> str:
    sums = {"confirmed": full.confirmed_nano, "reserved": full.reserved_nano, "possible": full.possible_nano}
    used = ", ".join(f"{name} ${dollars(nano)}" for name, nano in sums.items())
    doubts = f" ({unknown} unknown: imagemill resolve frees it)" if unknown else ""
    cap = dollars(full.cap_nano or 0)
    return f"{FULL}: {full.name}: {used}{doubts} of ${cap}; raise it: imagemill budget set {full.argument} USD"
