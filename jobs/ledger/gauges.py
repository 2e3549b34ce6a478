"""The figures that a dashboard's alarms watch, over the whole ledger: jobs, doubts, money without a price, budgets.

Read by `imagemill metrics` and by whoever serves them; all from tallies and partial indexes, so that asking every
few seconds costs little. A worker's own counters are `worker/metrics.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, func, select

from jobs.ledger import clock
from jobs.ledger.budgets import Scope
from jobs.ledger.budgets import read as read_in_force
from jobs.ledger.doubts import oldest_unknown_s
from jobs.ledger.schema import attempt_tallies, attempts, batches, budgets, charge_tallies, job_tallies
from jobs.states import BatchState, JobState, Outcome

_MOST_BUDGETS = 50
_NANO = 1e9
_KINDS = {"confirmed": "confirmed_nano", "possible": "possible_nano", "reserved": "reserved_nano"}


@dataclass(frozen=True, slots=True)
class Gauge:
    """One family of figures: for each tuple of label values, a number."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], float]


def read_gauges(tx: Connection) -> Iterator[Gauge]:
    yield Gauge("imagemill_jobs", "Jobs by state.", ("state",), _jobs(tx))
    yield Gauge(
        "imagemill_oldest_job_age_seconds",
        "queued: since the oldest batch with queued jobs was opened; running: since the oldest call was admitted; "
        "held: since the oldest doubt arose.",
        ("state",),
        _ages_s(tx),
    )
    yield Gauge(
        "imagemill_budget_dollars",
        "Each budget's limit and sums; `batches` is the sum of all batches.",
        ("budget", "kind"),
        _budgets(tx),
    )
    unknown = select(func.coalesce(func.sum(attempt_tallies.c.attempts), 0))
    doubts = tx.execute(unknown.where(attempt_tallies.c.outcome == Outcome.UNKNOWN)).scalar_one()
    yield Gauge("imagemill_unknown_attempts", "Calls that may have been paid for.", (), {(): float(doubts)})
    unpriced = tx.execute(select(func.coalesce(func.sum(charge_tallies.c.unpriced), 0))).scalar_one()
    yield Gauge("imagemill_unpriced_charges", "Charges that no price is known for.", (), {(): float(unpriced)})


def _jobs(tx: Connection) -> dict[tuple[str, ...], float]:
    statement = select(job_tallies.c.state, func.sum(job_tallies.c.jobs)).group_by(job_tallies.c.state)
    counted = {state: float(count) for state, count in tx.execute(statement)}
    return {(state.value,): counted.get(state.value, 0.0) for state in JobState}


def _ages_s(tx: Connection) -> dict[tuple[str, ...], float]:
    """0 where there is no such job."""
    waiting = (
        select(func.min(batches.c.opened_at))
        .join(job_tallies, job_tallies.c.batch_id == batches.c.id)
        .where(batches.c.state == BatchState.OPEN, job_tallies.c.state == JobState.QUEUED, job_tallies.c.jobs > 0)
    )
    # Of an expression: for the smallest of a column both engines may walk through its index from the oldest
    # attempt on until one is open, instead of looking at the open ones.
    running = select(func.min(attempts.c.admitted_at + 0)).where(attempts.c.outcome.is_(None))
    begun = {"queued": tx.execute(waiting).scalar(), "running": tx.execute(running).scalar()}
    now = clock.now(tx)
    ages = {state: 0.0 if moment is None else max(0, now - moment) / 1000 for state, moment in begun.items()}
    return {(state,): age for state, age in (ages | {"held": oldest_unknown_s(tx) or 0.0}).items()}


def _budgets(tx: Connection) -> dict[tuple[str, ...], float]:
    """The overall one, this month's, this day's and those of tags; of batches, which are many, only the sum."""
    sums = [func.coalesce(func.sum(budgets.c[column]), 0).label(column) for column in _KINDS.values()]
    all_batches = tx.execute(select(*sums).where(budgets.c.scope == "batch")).one()
    values: dict[tuple[str, ...], float] = {
        ("batches", kind): int(getattr(all_batches, column)) / _NANO for kind, column in _KINDS.items()
    }
    for one in islice(read_in_force(tx, ""), _MOST_BUDGETS):
        name = f"tag {one.key}" if one.scope is Scope.TAG else str(one.scope)
        values |= {(name, kind): getattr(one, column) / _NANO for kind, column in _KINDS.items()}
        if one.cap_nano is not None:
            values[name, "limit"] = one.cap_nano / _NANO
    return values
