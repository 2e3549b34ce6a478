"""The figures people read: one batch's standing, and cost and failures grouped. All from tallies, never by counting
attempts; `recount.py` does count, and `imagemill db check` holds the two equal.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, bindparam, func, select

from jobs.ledger import clock
from jobs.ledger.doubts import oldest_unknown_s
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import (
    ALL_TAGS,
    attempt_tallies,
    batches,
    budgets,
    charge_tallies,
    job_tallies,
    jobs,
    progress,
    tag_sets,
    tag_tallies,
)
from jobs.ledger.waiting import FULL, waiting_for
from jobs.states import BatchState, JobState

UNTAGGED = "untagged"


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything `status` says, about one batch or about all together. Money in nano-dollars."""

    batch: str | None
    name: str | None
    state: str | None
    jobs: dict[str, int]
    attempts: dict[str, int]
    images: int
    confirmed_nano: int
    possible_nano: int
    reserved_nano: int
    unpriced_attempts: int
    budget_nano: int | None
    rate_per_s: float | None
    """Jobs ended a second over the last whole minute or so."""
    mean_rate_per_s: float | None
    eta_s: float | None
    waiting_for: str | None
    opened_at: int | None
    ended_at: int | None
    oldest_unknown_s: float | None = None
    """For how long the oldest call in doubt has waited for its resolution."""

    @property
    def total_jobs(self) -> int:
        return sum(self.jobs.values())

    @property
    def at_budget(self) -> bool:
        """Whether a full budget keeps it waiting: its own, which paused it, or one that it shares."""
        paused = self.state == BatchState.PAUSED and self.waiting_for == "paused: budget"
        return paused or (self.waiting_for or "").startswith(FULL)

    @property
    def ended_jobs(self) -> int:
        return self.total_jobs - self.jobs["queued"] - self.jobs["running"]


@dataclass(frozen=True, slots=True)
class Group:
    """One line of a report."""

    key: str
    attempts: int
    images: int
    charged_nano: int
    possible_nano: int
    unpriced: int
    quantity: int | None = None
    """Tokens or images, where the report is by meter."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which tallies a report covers. Days are UTC, YYYY-MM-DD; `until` is exclusive."""

    batch_id: str | None = None
    since: str | None = None
    until: str | None = None


def list_batches(tx: Connection, most: int = 50) -> Sequence[AnyRow]:
    """The newest batches: id, name, state, jobs, created_at."""
    columns = (batches.c.id, batches.c.name, batches.c.state, batches.c.jobs, batches.c.created_at)
    shown = select(*columns).where(batches.c.state != BatchState.LOADING)
    return tx.execute(shown.order_by(batches.c.created_at.desc(), batches.c.id).limit(most)).all()


def match_batch(tx: Connection, text: str) -> list[str]:
    """Batch ids that `text` can mean: the id, its beginning, or `last`."""
    opened = select(batches.c.id).where(batches.c.state != BatchState.LOADING)
    if text == "last":
        return list(tx.execute(opened.order_by(batches.c.created_at.desc()).limit(1)).scalars())
    wanted = text if text.startswith("b_") else f"b_{text}"
    return list(tx.execute(opened.where(batches.c.id.startswith(wanted, autoescape=True)).limit(5)).scalars())


def standing(tx: Connection, batch_id: str, endpoint: str | None = None) -> Standing:
    """One batch as it stands now. With `endpoint`, only that endpoint's pauses explain a wait."""
    batch = tx.execute(select(batches).where(batches.c.id == batch_id)).one()
    budget = tx.execute(select(budgets).where(budgets.c.scope == "batch", budgets.c.key == batch_id)).one()
    by_state = _jobs_by_state(tx, batch_id)
    tallied = _attempts_by_outcome(tx, batch_id)
    rate, mean = _rates(tx, batch)
    return Standing(
        batch=batch.id,
        name=batch.name,
        state=batch.state,
        jobs=by_state,
        attempts={row.outcome: int(row.attempts) for row in tallied} | _open_attempts(by_state),
        images=sum(int(row.images) for row in tallied),
        confirmed_nano=budget.confirmed_nano,
        possible_nano=budget.possible_nano,
        reserved_nano=budget.reserved_nano,
        unpriced_attempts=sum(int(row.unpriced) for row in tallied),
        budget_nano=budget.cap_nano,
        rate_per_s=rate,
        mean_rate_per_s=mean,
        eta_s=_eta(by_state, rate or mean),
        waiting_for=waiting_for(tx, batch, by_state, endpoint),
        opened_at=batch.opened_at,
        ended_at=batch.ended_at,
        oldest_unknown_s=oldest_unknown_s(tx, batch_id) if budget.possible_nano else None,
    )


def report_groups(tx: Connection, by: str, span: Span) -> list[Group]:
    """Cost and counts by day, model, batch, outcome, meter or `tag:KEY`, in key order."""
    if by == "meter":
        return _by_meter(tx, span)
    if by.startswith("tag:"):
        return _by_tag(tx, by.removeprefix("tag:"), span)
    return [_group(row) for row in _tally(tx, _GROUPINGS[by], span) if row.attempts]


_GROUPINGS: dict[str, Column[Any]] = {
    "day": attempt_tallies.c.day,
    "model": attempt_tallies.c.model,
    "batch": attempt_tallies.c.batch_id,
    "outcome": attempt_tallies.c.outcome,
}
REPORT_KEYS = (*_GROUPINGS, "meter", "tag:KEY")


def totals(tx: Connection, span: Span) -> Group:
    """The sums of all groups of the span."""
    rows = [_group(row) for row in _tally(tx, attempt_tallies.c.outcome, span)]
    return Group(
        "total",
        *(
            sum(getattr(row, name) for row in rows)
            for name in ("attempts", "images", "charged_nano", "possible_nano", "unpriced")
        ),
    )


def causes(tx: Connection, batch_id: str) -> Sequence[AnyRow]:
    """Failed, refused and held jobs grouped by cause: state, error_kind, jobs, first row, an example message."""
    grouped = (jobs.c.state, jobs.c.error_kind)
    count = func.count().label("jobs")
    statement = (
        select(
            *grouped,
            count,
            func.min(jobs.c.row).label("row"),
            func.sum(jobs.c.possible_nano).label("possible_nano"),
        )
        .where(jobs.c.batch_id == batch_id, IN_TROUBLE)
        .group_by(*grouped)
        .order_by(count.desc(), *grouped)
    )
    return tx.execute(statement).all()


IN_TROUBLE = jobs.c.state.in_(
    bindparam("troubled", [JobState.FAILED, JobState.REFUSED, JobState.HELD], expanding=True, literal_execute=True)
)
"""In the text of the statement, or SQLite does not see that the index of such jobs has them all."""


def job_message(tx: Connection, batch_id: str, row: int) -> tuple[str, str | None]:
    """(custom_id, error message) of one job, the example of a cause."""
    statement = select(jobs.c.custom_id, jobs.c.error_message).where(jobs.c.batch_id == batch_id, jobs.c.row == row)
    found = tx.execute(statement).one()
    return found.custom_id, found.error_message


def _jobs_by_state(tx: Connection, batch_id: str) -> dict[str, int]:
    statement = (
        select(job_tallies.c.state, func.sum(job_tallies.c.jobs))
        .where(job_tallies.c.batch_id == batch_id)
        .group_by(job_tallies.c.state)
    )
    counted = {state: int(count) for state, count in tx.execute(statement)}
    return {state.value: counted.get(state.value, 0) for state in JobState}


def _open_attempts(by_state: dict[str, int]) -> dict[str, int]:
    return {"open": by_state["running"]} if by_state["running"] else {}


def _attempts_by_outcome(tx: Connection, batch_id: str) -> Sequence[AnyRow]:
    table = attempt_tallies
    summed = [func.sum(table.c[name]).label(name) for name in ("attempts", "images", "unpriced")]
    statement = select(table.c.outcome, *summed).where(table.c.batch_id == batch_id).group_by(table.c.outcome)
    return [row for row in tx.execute(statement) if row.attempts]


def _rates(tx: Connection, batch: AnyRow) -> tuple[float | None, float | None]:
    """Jobs ended a second: over the last one to two minutes, and over the batch's life."""
    now = clock.now(tx)
    minute = now // 60_000
    ended = select(func.coalesce(func.sum(progress.c.jobs_ended), 0)).where(progress.c.batch_id == batch.id)
    total = int(tx.execute(ended).scalar_one())
    recent = int(tx.execute(ended.where(progress.c.minute >= minute - 1)).scalar_one())
    if batch.opened_at is None or total == 0:
        return None, None
    life_s = max(1.0, ((batch.ended_at or now) - batch.opened_at) / 1000)
    window_s = min(life_s, 60 + now % 60_000 / 1000)
    return (None if batch.ended_at else round(recent / window_s, 3)), round(total / life_s, 3)


_JOBS_BEFORE_ETA = 20


def _eta(by_state: dict[str, int], rate: float | None) -> float | None:
    """Seconds until nothing is queued or running; None before enough jobs have ended to tell."""
    left = by_state["queued"] + by_state["running"]
    ended = sum(by_state.values()) - left
    if not left:
        return 0.0
    return round(left / rate, 1) if rate and ended >= _JOBS_BEFORE_ETA else None


def _span(table: Any, span: Span) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = []
    if span.batch_id:
        clauses.append(table.c.batch_id == span.batch_id)
    if span.since:
        clauses.append(table.c.day >= span.since)
    if span.until:
        clauses.append(table.c.day < span.until)
    return clauses


_SUMMED = ("attempts", "images", "charged_nano", "possible_nano", "unpriced")


def _tally(tx: Connection, key: Column[Any], span: Span, *where: ColumnElement[bool]) -> Sequence[AnyRow]:
    """Sums by a column of attempt_tallies or tag_tallies."""
    table = key.table
    summed = [func.sum(table.c[name]).label(name) for name in _SUMMED]
    chosen = select(key.label("key"), *summed).where(*_span(table, span), *where)
    return tx.execute(chosen.group_by(key).order_by(key)).all()


def _group(row: AnyRow) -> Group:
    return Group(str(row.key), *(int(getattr(row, name)) for name in _SUMMED))


def _by_meter(tx: Connection, span: Span) -> list[Group]:
    table = charge_tallies
    summed = [func.sum(table.c[name]).label(name) for name in ("charges", "quantity", "amount_nano", "unpriced")]
    statement = (
        select(table.c.meter, *summed).where(*_span(table, span)).group_by(table.c.meter).order_by(table.c.meter)
    )
    return [
        Group(row.meter, int(row.charges), 0, int(row.amount_nano), 0, int(row.unpriced), int(row.quantity))
        for row in tx.execute(statement)
    ]


def _by_tag(tx: Connection, key: str, span: Span) -> list[Group]:
    """Tag sets are few; their sums come from SQL, their values are read here. Tallies of before tag_tallies have
    their tag set beside the model."""
    names = {row.id: json.loads(row.tags) for row in tx.execute(select(tag_sets))}
    sums: dict[str, list[int]] = {}
    older = _tally(tx, attempt_tallies.c.tag_set, span, attempt_tallies.c.tag_set != ALL_TAGS)
    for row in (*older, *_tally(tx, tag_tallies.c.tag_set, span)):
        value = names.get(int(row.key), {}).get(key, UNTAGGED)
        mine = sums.setdefault(value, [0] * len(_SUMMED))
        for place, name in enumerate(_SUMMED):
            mine[place] += int(getattr(row, name))
    return [Group(value, *numbers) for value, numbers in sorted(sums.items()) if numbers[0]]
