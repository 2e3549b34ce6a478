"""Heartbeats and the sweep: who is alive, and what the dead left open.

A worker is one row, renewed every few seconds; its lease runs by the database's clock. The sweep turns the open
attempts of workers whose lease ran out, and attempts past their hard deadline, into `unknown`. It judges only
while the heartbeats have been steady for one lease: after a database outage, or a step of its clock, every row
looks expired at once. A new worker takes over the steadiness of those it finds alive.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, case, func, insert, or_, select, update

from jobs.ledger import clock
from jobs.ledger.admission import LEASE_MS
from jobs.ledger.endings import Booked, Ending, RetryDecision
from jobs.ledger.engine import insert_missing
from jobs.ledger.schema import attempts, batches, duties, job_tallies, workers
from jobs.ledger.settlement import settle
from jobs.states import BatchState, JobState, Outcome

SWEEP_EVERY_MS = 15_000
_MOST_AT_ONCE = 500
_REPLY_MAY_TAKE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep found: workers declared dead, attempts that became unknown."""

    workers: tuple[str, ...]
    attempts: int
    booked: tuple[Booked, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class DueBatch:
    """An open batch with queued jobs, and of which models; none named: of any."""

    batch_id: str
    models: tuple[str, ...] = ()


def register_worker(tx: Connection, worker_id: str, host: str, pid: int, spool: str) -> None:
    """Add the worker. Where others beat without a gap it need not watch for a lease itself before it may sweep:
    workers that come and go more often than that would leave nobody to do it."""
    now = clock.now(tx)
    beating = (workers.c.ended_at.is_(None), workers.c.beat_at.between(now - _longest_gap_ms(), now))
    steady_since = tx.execute(select(func.min(workers.c.steady_since)).where(*beating)).scalar() or now
    row = {"id": worker_id, "host": host, "pid": pid, "spool": spool}
    tx.execute(insert(workers).values(**row, started_at=now, beat_at=now, steady_since=steady_since))


def beat(tx: Connection, worker_id: str, *, in_flight: int) -> bool:
    """Renew the lease. False: the row was swept, this worker is fenced."""
    now = clock.now(tx)
    renewed = (
        update(workers)
        .where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
        .values(
            beat_at=now,
            steady_since=case(
                (workers.c.beat_at.between(now - _longest_gap_ms(), now), workers.c.steady_since), else_=now
            ),
            in_flight=in_flight,
        )
    )
    return tx.execute(renewed).rowcount == 1


def sign_off(tx: Connection, worker_id: str) -> None:
    """A worker that stops by itself; whatever it left open is for the sweep or a replay."""
    mine = (workers.c.id == worker_id, workers.c.ended_at.is_(None))
    tx.execute(update(workers).where(*mine).values(ended_at=clock.now(tx), in_flight=0))


def win_sweep(tx: Connection, sweeper_id: str, every_ms: int = SWEEP_EVERY_MS) -> bool:
    """One worker of all that ask wins the sweep of this period; never one that may not judge."""
    now = clock.now(tx)
    if _steady_ms(tx, sweeper_id, now) < LEASE_MS:
        return False
    insert_missing(tx, duties, [{"name": "sweep", "done_at": 0}])
    # A little later than now: whoever won asked for the time a moment after us. Much later: the clock was set back.
    in_time = duties.c.done_at.between(now - every_ms + 1, now + every_ms)
    due = update(duties).where(duties.c.name == "sweep", ~in_time)
    return tx.execute(due.values(done_at=now)).rowcount == 1


def sweep(tx: Connection, sweeper_id: str, retry: RetryDecision) -> Swept:
    """Close what dead workers and passed deadlines left open, at most some hundred attempts at a time: call it
    until it finds none."""
    now = clock.now(tx)
    steady_ms = _steady_ms(tx, sweeper_id, now)
    if steady_ms < LEASE_MS:
        return Swept((), 0)
    dead = _end_expired(tx, sweeper_id, now)
    ended = select(workers.c.id).where(workers.c.ended_at.is_not(None))
    lost = _close_open(tx, attempts.c.worker_id.in_(ended), "worker_lost", retry)
    # Not by the dates alone: if the clock was set forward, calls that have just begun look long overdue.
    watched = attempts.c.deadline_at - attempts.c.admitted_at + LEASE_MS < steady_ms
    late = _close_open(tx, watched & (attempts.c.deadline_at + LEASE_MS < now), "deadline_passed", retry)
    return Swept(dead, len(lost + late), lost + late)


def close_spool(
    tx: Connection, spool: str, retry: RetryDecision, sent: Collection[str] | None = None
) -> tuple[Booked, ...]:
    """Close at once what the workers of a spool folder left open. Call it only while holding the lock of
    that folder, which proves that they are dead, and after its answers were replayed.

    `sent` names the attempts that may have been sent; None: any of them. The others were not, also where the sweep
    was here first and could not know.
    """
    mine = select(workers.c.id).where(workers.c.spool == spool)
    gone = update(workers).where(workers.c.spool == spool, workers.c.ended_at.is_(None))
    tx.execute(gone.values(ended_at=clock.now(tx), in_flight=0))
    closed = () if sent is None else _close_never_sent(tx, attempts.c.worker_id.in_(mine), sent, retry)
    while found := _close_open(tx, attempts.c.worker_id.in_(mine), "worker_lost", retry):
        closed += found
    return closed


def _close_never_sent(
    tx: Connection, whose: ColumnElement[bool], sent: Collection[str], retry: RetryDecision
) -> tuple[Booked, ...]:
    # Two questions: each has an index of its own, for both at once all attempts may be read.
    unsettled = select(attempts.c.id).where(whose, attempts.c.outcome.is_(None))
    doubted = select(attempts.c.id).where(
        whose, attempts.c.outcome == Outcome.UNKNOWN, attempts.c.error_kind == "worker_lost"
    )
    found = {*tx.execute(unsettled).scalars(), *tx.execute(doubted).scalars()}
    endings = [Ending(one, Outcome.NOT_SENT, error_kind="never_sent") for one in sorted(found.difference(sent))]
    return settle(tx, endings, retry).booked if endings else ()


def release_unsent(
    tx: Connection,
    worker_id: str,
    held: Callable[[], Collection[str]],
    retry: RetryDecision,
    *,
    signed_off: bool = False,
) -> tuple[Booked, ...]:
    """Close as not_sent the worker's open attempts that it does not know of: the reply to their admission's
    commit was lost, so no socket was opened for them. Fresh ones are left alone, their reply may be under way,
    unless the worker has `signed_off` and admits no more.

    `held` tells what the worker knows of. It is asked with the attempts locked, so that none of them is admitted,
    sent or booked between the two looks: this process may stand still at any line.
    """
    old = attempts.c.admitted_at <= clock.now(tx) - (0 if signed_off else _REPLY_MAY_TAKE_MS)
    statement = select(attempts.c.id).where(attempts.c.worker_id == worker_id, attempts.c.outcome.is_(None), old)
    ids = set(tx.execute(statement.with_for_update(skip_locked=True)).scalars()).difference(held())
    endings = [Ending(one, Outcome.NOT_SENT, error_kind="admission_lost") for one in sorted(ids)]
    return settle(tx, endings, retry).booked if endings else ()


def due_batches(tx: Connection) -> list[DueBatch]:
    """Open batches with queued jobs, the oldest first."""
    statement = (
        select(batches.c.id, job_tallies.c.model)
        .join(job_tallies, job_tallies.c.batch_id == batches.c.id)
        .where(batches.c.state == BatchState.OPEN, job_tallies.c.state == JobState.QUEUED, job_tallies.c.jobs > 0)
        .order_by(batches.c.opened_at, batches.c.id, job_tallies.c.model)
    )
    models: dict[str, list[str]] = {}
    for batch_id, model in tx.execute(statement):
        models.setdefault(batch_id, []).append(model)
    return [DueBatch(batch_id, tuple(theirs)) for batch_id, theirs in models.items()]


def _longest_gap_ms() -> int:
    """Between two beats that count as steady: so short that no live worker's lease ends within such a gap."""
    return LEASE_MS // 2


def _steady_ms(tx: Connection, worker_id: str, now: int) -> int:
    """For how long there were beats without a gap, up to this moment; 0: not now."""
    mine = (workers.c.id == worker_id, workers.c.ended_at.is_(None))
    beating = workers.c.beat_at.between(now - _longest_gap_ms(), now)
    since = tx.execute(select(workers.c.steady_since).where(*mine, beating)).scalar()
    return 0 if since is None else now - since


def _end_expired(tx: Connection, sweeper_id: str, now: int) -> tuple[str, ...]:
    """End the rows whose lease ran out, or whose beat lies a lease in the future: that clock was set back."""
    expired = or_(workers.c.beat_at < now - LEASE_MS, workers.c.beat_at > now + LEASE_MS)
    which = (workers.c.ended_at.is_(None), expired, workers.c.id != sweeper_id)
    dead = tx.execute(select(workers.c.id).where(*which).order_by(workers.c.id).with_for_update()).scalars().all()
    if dead:  # the lock may have waited for their last admissions: the end is later than those
        ended = {"ended_at": clock.now(tx), "in_flight": 0}
        tx.execute(update(workers).where(workers.c.id.in_(dead)).values(**ended))
    return tuple(dead)


def _close_open(tx: Connection, which: ColumnElement[bool], kind: str, retry: RetryDecision) -> tuple[Booked, ...]:
    # In no order: by their ids, a database may read all attempts instead of the index of the open ones.
    statement = select(attempts.c.id).where(attempts.c.outcome.is_(None), which)
    ids = tx.execute(statement.limit(_MOST_AT_ONCE)).scalars().all()
    message = (
        "the worker ended before the answer was seen" if kind == "worker_lost" else "no answer by the deadline"
    )
    endings = [Ending(one, Outcome.UNKNOWN, error_kind=kind, error_message=message) for one in sorted(ids)]
    return settle(tx, endings, retry).booked if endings else ()
