"""What `doctor` asks the ledger beside its durability: its clock, who works, what waits, what is in doubt."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from jobs.ledger import clock
from jobs.ledger.admission import LEASE_MS
from jobs.ledger.doubts import oldest_unknown_s
from jobs.ledger.schema import attempt_tallies, attempts, batches, job_tallies, jobs, workers
from jobs.states import BatchState, JobState, Outcome


@dataclass(frozen=True, slots=True)
class Pulse:
    """A worker that has not ended, or has left attempts open. `spool` names its folder on its machine."""

    host: str
    pid: int
    spool: str
    beat_age_s: float
    in_flight: int
    open_attempts: int
    live: bool


@dataclass(frozen=True, slots=True)
class Doubts:
    """Calls that may have been paid for."""

    attempts: int
    possible_nano: int
    oldest_s: float


def clock_ahead_s(tx: Connection, local_ms: int) -> float:
    """By how many seconds the database's clock is ahead of this machine's."""
    return (clock.now(tx) - local_ms) / 1000


def live_workers_of(tx: Connection, host: str) -> int:
    """Workers of one host whose heartbeat is fresh: they poll the ledger, whatever the broker does."""
    fresh = workers.c.beat_at > clock.now(tx) - LEASE_MS
    statement = select(func.count()).where(workers.c.host == host, workers.c.ended_at.is_(None), fresh)
    return int(tx.execute(statement).scalar_one())


def pulses(tx: Connection) -> list[Pulse]:
    """The workers, the one that beat last first."""
    held = select(attempts.c.worker_id, func.count().label("open_attempts")).where(attempts.c.outcome.is_(None))
    by_worker = held.group_by(attempts.c.worker_id).subquery()
    statement = (
        select(workers, func.coalesce(by_worker.c.open_attempts, 0).label("open_attempts"))
        .outerjoin(by_worker, by_worker.c.worker_id == workers.c.id)
        .where(or_(workers.c.ended_at.is_(None), by_worker.c.open_attempts > 0))
        .order_by(workers.c.beat_at.desc())
    )
    now = clock.now(tx)
    return [
        Pulse(
            host=row.host,
            pid=row.pid,
            spool=row.spool,
            beat_age_s=max(0, now - row.beat_at) / 1000,
            in_flight=row.in_flight,
            open_attempts=row.open_attempts,
            live=row.ended_at is None and now - row.beat_at <= LEASE_MS,
        )
        for row in tx.execute(statement)
    ]


def due_jobs(tx: Connection) -> int:
    """Jobs of open batches whose due time has come."""
    queued = job_tallies.c.state == JobState.QUEUED
    theirs = (jobs.c.batch_id == job_tallies.c.batch_id) & (jobs.c.model == job_tallies.c.model)
    statement = (
        select(func.count())
        .select_from(batches)
        .join(job_tallies, (job_tallies.c.batch_id == batches.c.id) & queued & (job_tallies.c.jobs > 0))
        .join(jobs, theirs & (jobs.c.state == JobState.QUEUED) & (jobs.c.due_at <= clock.now(tx)))
        .where(batches.c.state == BatchState.OPEN)
    )
    return int(tx.execute(statement).scalar_one())


def silent_s(tx: Connection) -> float:
    """For how long nothing was admitted; since the oldest open batch began where nothing ever was."""
    last = tx.execute(select(func.max(attempts.c.admitted_at))).scalar()
    begun = tx.execute(select(func.min(batches.c.opened_at)).where(batches.c.state == BatchState.OPEN)).scalar()
    moments = [moment for moment in (last, begun) if moment is not None]
    return max(0, clock.now(tx) - max(moments)) / 1000 if moments else 0.0


def doubts(tx: Connection) -> Doubts:
    table = attempt_tallies
    sums = (func.coalesce(func.sum(table.c[name]), 0) for name in ("attempts", "possible_nano"))
    count, possible = tx.execute(select(*sums).where(table.c.outcome == Outcome.UNKNOWN)).one()
    return Doubts(int(count), int(possible), oldest_unknown_s(tx) or 0.0)


def models_in_use(tx: Connection) -> Sequence[str]:
    """Every model that a batch of this ledger asks for or was charged for."""
    asked = select(job_tallies.c.model).union(select(attempt_tallies.c.model))
    return sorted(tx.execute(asked).scalars())
