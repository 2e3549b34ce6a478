"""Settlement: one transaction that books how a group of attempts ended.

Locks the attempts and their jobs, lets `endings.resolve` decide each, and writes: attempts, jobs, images, charges,
the budget's sums and the tallies. Keyed by attempt and repeatable: an attempt that is settled already changes
nothing. Locks are taken in the order batches, attempts and jobs, budgets, tallies.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, func, select, update

from jobs.ledger import clock
from jobs.ledger.books import Books
from jobs.ledger.budgets import Scope
from jobs.ledger.endings import AttemptFacts, Booked, Ending, JobFacts, RetryDecision, as_charged, resolve
from jobs.ledger.engine import AnyRow, find_by_key
from jobs.ledger.schema import attempts, batches, budgets, charges, job_tallies, jobs
from jobs.ledger.sets import among
from jobs.states import RESOLVED, UNFINISHED, BatchState, JobState, Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """What one settlement did: attempts booked, jobs that reached a final or held state, batches now done."""

    attempts: int
    jobs_ended: int
    batches_done: tuple[str, ...]
    booked: tuple[Booked, ...] = field(default=(), compare=False)
    strangers: tuple[str, ...] = ()
    """Attempts that the ledger has never heard of: it was restored from a backup older than they are."""


def settle(tx: Connection, endings: Sequence[Ending], retry: RetryDecision) -> Settled:
    """Book the endings. Those of attempts that are settled already, or strangers, are passed over."""
    find_by_key(tx)
    written: list[Books] = []
    strangers: list[str] = []
    left = list(endings)
    while left:
        books, unheard, left = _settle_each_job_once(tx, left, retry)
        written.append(books)
        strangers += unheard
    batch_ids = sorted({batch_id for books in written for batch_id in books.batches})
    _open_done(tx, sorted({batch_id for books in written for batch_id in books.taken_up}))
    return Settled(
        attempts=sum(len(books.attempts) for books in written),
        jobs_ended=sum(books.jobs_ended for books in written),
        batches_done=close_finished(tx, batch_ids) if batch_ids else (),
        booked=tuple(one for books in written for one in books.booked),
        strangers=tuple(strangers),
    )


def _settle_each_job_once(
    tx: Connection, endings: Sequence[Ending], retry: RetryDecision
) -> tuple[Books, list[str], list[Ending]]:
    """Book one ending of each job, and return the strangers, and what is left: a second attempt of the same job,
    answered late, has to be decided on what the first one made of the job."""
    found, policies = _lock(tx, [ending.attempt_id for ending in endings])
    stated = _stated_charges(tx, found.values())
    other_doubts = _other_doubts(tx, found.values())
    books = Books(clock.now(tx))
    possible = _possible(tx, policies.values())
    decided: set[tuple[str, int]] = set()
    strangers: list[str] = []
    left: list[Ending] = []
    for ending in endings:
        row = found.get(ending.attempt_id)
        if row is None:
            strangers.append(ending.attempt_id)
            continue
        if (row.batch_id, row.row) in decided:
            left.append(ending)
            continue
        decided.add((row.batch_id, row.row))
        attempt = _attempt_facts(row, other_doubts[row.id])
        job = _job_facts(row, policies[row.batch_id], books.now, possible[row.batch_id])
        priced = as_charged(attempt, ending)
        change = resolve(attempt, job, priced, retry)
        if change:
            books.post(row, priced, change, stated.get(row.id, ()))
            possible[row.batch_id] += change.money.possible
    books.write(tx)
    return books, strangers, left


def _lock(tx: Connection, attempt_ids: Sequence[str]) -> tuple[dict[str, AnyRow], dict[str, AnyRow]]:
    """Attempts with their jobs by id, and their batches by id, locked in one order. Batches come first: a cancel is
    then before or after this settlement, and two settlements that may both close a batch never wait in a circle.

    One statement for all of it would be planned wrongly: by way of every attempt of a batch."""
    ids = {"ids": attempt_ids}
    held = tx.execute(_HOLD_BATCHES, {"batches": tx.execute(_THEIR_BATCHES, ids).scalars().all()})
    policies = {row.id: row for row in held}
    return {row.id: row for row in tx.execute(LOCK, ids)}, policies


def _possible(tx: Connection, policies: Collection[AnyRow]) -> Counter[str]:
    """Possible money, in nano-dollars, of those batches that have a wall for it."""
    walled = [row.id for row in policies if row.max_possible_nano is not None]
    found = tx.execute(_POSSIBLE, {"batches": walled}) if walled else ()
    return Counter({row.key: row.possible_nano for row in found})


def _attempt_facts(row: AnyRow, other_doubts: int) -> AttemptFacts:
    outcome = Outcome(row.outcome) if row.outcome else None
    return AttemptFacts(row.number, outcome, row.ceiling_nano, row.charged_nano, other_doubts)


def _other_doubts(tx: Connection, rows: Collection[AnyRow]) -> Counter[str]:
    """How many other attempts of its job are in doubt, for each attempt that had ended before. Their money does not
    tell: what a charge without a price may cost is possible as well."""
    ended = [row.id for row in rows if row.outcome]
    found = tx.execute(_OTHER_DOUBTS, {"ids": ended}) if ended else ()
    return Counter({row.id: row.doubts for row in found})


def _stated_charges(tx: Connection, rows: Collection[AnyRow]) -> Mapping[str, list[AnyRow]]:
    """What was charged, by attempt, when books or a person resolved doubts: answers came to them after all."""
    resolved = [row.id for row in rows if row.outcome in RESOLVED]
    found: dict[str, list[AnyRow]] = defaultdict(list)
    if resolved:
        for charge in tx.execute(select(charges).where(charges.c.attempt_id.in_(resolved))):
            found[charge.attempt_id].append(charge)
    return found


def _job_facts(row: AnyRow, policy: AnyRow, now: int, possible_nano: int) -> JobFacts:
    """`policy`: the row of its batch; `possible_nano`: of the whole batch, as it is by now."""
    return JobFacts(
        state=JobState(row.state),
        attempts=row.attempts,
        counted=row.counted,
        unknowns=row.unknowns,
        images=row.images,
        # None: queued afresh by a person while an answer to an earlier attempt was still to come.
        age_ms=now - (row.first_admitted_at or now),
        batch_cancelled=policy.state == BatchState.CANCELLED,
        max_attempts=policy.max_attempts,
        retry_unknown=policy.retry_unknown,
        time_limit_ms=policy.time_limit_s * 1000,
        error_kind=row.error_kind,
        batch_possible_nano=possible_nano,
        max_possible_nano=policy.max_possible_nano,
    )


def _open_done(tx: Connection, batch_ids: Sequence[str]) -> None:
    """A late answer may queue a job of a batch that was done but for its doubts: it goes on."""
    if batch_ids:
        done = (batches.c.id.in_(batch_ids), batches.c.state == BatchState.DONE)
        tx.execute(update(batches).where(*done).values(state=BatchState.OPEN.value, ended_at=None))


def close_finished(tx: Connection, batch_ids: Sequence[str]) -> tuple[str, ...]:
    """Move the open batches among `batch_ids` that have nothing queued or running to done."""
    closed = tx.execute(_CLOSE_FINISHED, {"batches": batch_ids, "now": clock.now(tx)})
    return tuple(closed.scalars().all())


# Built once: every settlement runs them.
_THESE = among(attempts.c.id, "ids")
_THEIR_BATCHES = select(attempts.c.batch_id).where(_THESE).distinct()
_POLICY = (batches.c.state, batches.c.max_attempts, batches.c.retry_unknown, batches.c.time_limit_s)
_HOLD_BATCHES = (
    select(batches.c.id, *_POLICY, batches.c.max_possible_nano)
    .where(among(batches.c.id, "batches"))
    .order_by(batches.c.id)
    .with_for_update(key_share=True)
)
_POSSIBLE = select(budgets.c.key, budgets.c.possible_nano).where(
    budgets.c.scope == Scope.BATCH, among(budgets.c.key, "batches")
)
LOCK = (
    select(
        attempts.c.id,
        attempts.c.batch_id,
        attempts.c.row,
        attempts.c.number,
        attempts.c.outcome,
        attempts.c.admitted_at,
        attempts.c.ended_at,
        attempts.c.ceiling_nano,
        attempts.c.charged_nano,
        attempts.c.possible_nano,
        attempts.c.endpoint,
        attempts.c.model,
        jobs.c.state,
        jobs.c.attempts,
        jobs.c.counted,
        jobs.c.unknowns,
        jobs.c.images,
        jobs.c.first_admitted_at,
        jobs.c.tag_set,
        jobs.c.error_kind,
        jobs.c.error_message,
    )
    .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
    .where(_THESE)
    .order_by(attempts.c.batch_id, attempts.c.row, attempts.c.number)
    .with_for_update(of=[attempts, jobs])
)
_OTHERS = attempts.alias("others")
_OTHER_DOUBTS = (
    select(attempts.c.id, func.count().label("doubts"))
    .join(_OTHERS, (_OTHERS.c.batch_id == attempts.c.batch_id) & (_OTHERS.c.row == attempts.c.row))
    .where(_THESE, _OTHERS.c.id != attempts.c.id, _OTHERS.c.outcome == Outcome.UNKNOWN)
    .group_by(attempts.c.id)
)
_UNFINISHED_JOBS = (
    select(func.coalesce(func.sum(job_tallies.c.jobs), 0))
    .where(job_tallies.c.batch_id == batches.c.id, job_tallies.c.state.in_(sorted(UNFINISHED)))
    .scalar_subquery()
)
_CLOSE_FINISHED = (
    update(batches)
    .where(among(batches.c.id, "batches"), batches.c.state == BatchState.OPEN, _UNFINISHED_JOBS == 0)
    .values(state=BatchState.DONE.value, ended_at=bindparam("now"))
    .returning(batches.c.id)
)
