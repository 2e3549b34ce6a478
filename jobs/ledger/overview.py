"""Readings wider than one batch, and the details beside its figures: all batches together, what just happened,
jobs with their pictures. Called by the commands and the reports; everything is bounded, nothing is locked.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, exists, func, or_, select

from jobs.ledger import clock
from jobs.ledger.doubts import oldest_unknown_s
from jobs.ledger.engine import AnyRow
from jobs.ledger.figures import IN_TROUBLE, Standing, job_message
from jobs.ledger.limits import list_pauses
from jobs.ledger.schema import attempt_tallies, attempts, batches, budgets, images, job_tallies, jobs, progress
from jobs.ledger.waiting import live_workers
from jobs.states import UNFINISHED, BatchState, JobState, Outcome

Transaction = Connection
"""What reading functions take, for callers that may not know the database library."""

_RECENT = 200
_LOOK_BACK = 2_000
"""Attempts of all batches among which those of one are looked for, whatever the number of all."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One batch in the list of batches."""

    batch: str
    name: str
    state: str
    jobs: int
    succeeded: int
    confirmed_nano: int
    possible_nano: int
    reserved_nano: int
    budget_nano: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What just happened in a batch, for the live panel."""

    last_custom_id: str | None
    last_outcome: str | None
    last_charged_nano: int | None
    median_s: float | None
    """Duration of the latest calls that brought images."""
    slow_s: float | None
    """Its 95th percentile."""
    causes: tuple[tuple[str, int], ...]
    """The commonest error kinds of failed, refused and held jobs, with their number."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One stored image of a job; `path` is its name in the store."""

    path: str
    format: str
    bytes: int
    width: int | None
    height: int | None
    surplus: bool


@dataclass(frozen=True, slots=True)
class PicturedJob:
    """One job as a contact sheet shows it."""

    row: int
    custom_id: str
    state: str
    model: str
    prompt: str
    charged_nano: int
    possible_nano: int
    error_kind: str | None
    error_message: str | None
    pictures: tuple[Picture, ...]


def list_standing(tx: Connection, most: int = 50, after: tuple[int, str] | None = None) -> list[BatchLine]:
    """The newest batches with their counts and money; with `after` those behind that (created_at, batch)."""
    opened = select(batches).where(batches.c.state != BatchState.LOADING)
    if after is not None:
        moment, batch_id = after
        same = and_(batches.c.created_at == moment, batches.c.id > batch_id)
        opened = opened.where(or_(batches.c.created_at < moment, same))
    # Before anything is joined: there may be very many.
    newest = opened.order_by(batches.c.created_at.desc(), batches.c.id).limit(most).subquery()
    done = (
        select(func.coalesce(func.sum(job_tallies.c.jobs), 0))
        .where(job_tallies.c.batch_id == newest.c.id, job_tallies.c.state == JobState.SUCCEEDED)
        .scalar_subquery()
    )
    statement = (
        select(newest, budgets, done.label("succeeded"))
        .join(budgets, (budgets.c.scope == "batch") & (budgets.c.key == newest.c.id))
        .order_by(newest.c.created_at.desc(), newest.c.id)
    )
    return [_batch_line(row) for row in tx.execute(statement)]


def whole_ledger(tx: Connection) -> Standing:
    """All batches together, as if they were one."""
    by_state = _jobs_by_state(tx)
    tallied = _attempts_by_outcome(tx)
    sums = (func.coalesce(func.sum(budgets.c[name]), 0) for name in _MONEY)
    confirmed, possible, reserved = tx.execute(select(*sums).where(budgets.c.scope == "batch")).one()
    rate = _rate(tx)
    left = sum(by_state[state.value] for state in UNFINISHED)
    waiting = _waiting_for(tx, by_state)
    return Standing(
        batch=None,
        name=None,
        state=None,
        jobs=by_state,
        attempts={row.outcome: int(row.attempts) for row in tallied if row.attempts}
        | ({"open": by_state["running"]} if by_state["running"] else {}),
        images=sum(int(row.images) for row in tallied),
        confirmed_nano=int(confirmed),
        possible_nano=int(possible),
        reserved_nano=int(reserved),
        unpriced_attempts=sum(int(row.unpriced) for row in tallied),
        budget_nano=None,
        rate_per_s=rate,
        mean_rate_per_s=None,
        eta_s=0.0 if not left else (round(left / rate, 1) if rate and not waiting else None),
        waiting_for=waiting,
        opened_at=None,
        ended_at=None,
        oldest_unknown_s=oldest_unknown_s(tx) if possible else None,
    )


def glimpse(tx: Connection, batch_id: str) -> Glimpse:
    """The last result, how long calls take, and the commonest causes of trouble."""
    recent = _recent_attempts(tx, batch_id)
    durations = sorted(row.duration_ms for row in recent if row.outcome == Outcome.SUCCEEDED and row.duration_ms)
    last = recent[0] if recent else None
    return Glimpse(
        last_custom_id=job_message(tx, batch_id, last.row)[0] if last else None,
        last_outcome=last.outcome if last else None,
        last_charged_nano=last.charged_nano if last else None,
        median_s=durations[len(durations) // 2] / 1000 if durations else None,
        slow_s=durations[len(durations) * 95 // 100] / 1000 if durations else None,
        causes=_causes(tx, batch_id),
    )


def pictured_jobs(tx: Connection, batch_id: str, most: int) -> Iterator[PicturedJob]:
    """The first `most` jobs in manifest order, each with its images; read in pages."""
    after, left = 0, most
    while left > 0:
        statement = select(jobs).where(jobs.c.batch_id == batch_id, jobs.c.row > after).order_by(jobs.c.row)
        page = tx.execute(statement.limit(min(left, _PAGE))).all()
        if not page:
            return
        found = _pictures(tx, batch_id, page[0].row, page[-1].row)
        yield from (_pictured(row, found.get(row.row, ())) for row in page)
        after, left = page[-1].row, left - len(page)


_MONEY = ("confirmed_nano", "possible_nano", "reserved_nano")


def _batch_line(row: AnyRow) -> BatchLine:
    return BatchLine(
        batch=row.id,
        name=row.name,
        state=row.state,
        jobs=row.jobs,
        succeeded=int(row.succeeded),
        confirmed_nano=row.confirmed_nano,
        possible_nano=row.possible_nano,
        reserved_nano=row.reserved_nano,
        budget_nano=row.cap_nano,
        created_at=row.created_at,
    )


def _jobs_by_state(tx: Connection) -> dict[str, int]:
    statement = select(job_tallies.c.state, func.sum(job_tallies.c.jobs)).group_by(job_tallies.c.state)
    counted = {state: int(count) for state, count in tx.execute(statement)}
    return {state.value: counted.get(state.value, 0) for state in JobState}


def _attempts_by_outcome(tx: Connection) -> Sequence[AnyRow]:
    table = attempt_tallies
    summed = [func.sum(table.c[name]).label(name) for name in ("attempts", "images", "unpriced")]
    return tx.execute(select(table.c.outcome, *summed).group_by(table.c.outcome).order_by(table.c.outcome)).all()


def _rate(tx: Connection) -> float | None:
    """Jobs ended a second over the last one to two minutes; None when none did."""
    now = clock.now(tx)
    ended = select(func.coalesce(func.sum(progress.c.jobs_ended), 0)).where(progress.c.minute >= now // 60_000 - 1)
    recent = int(tx.execute(ended).scalar_one())
    return round(recent / (60 + now % 60_000 / 1000), 3) if recent else None


def _waiting_for(tx: Connection, by_state: dict[str, int]) -> str | None:
    for paused in list_pauses(tx):
        return f"endpoint paused{f' for {paused.model}' if paused.model else ''}: {paused.kind}: {paused.message}"
    if by_state[JobState.QUEUED.value] and not live_workers(tx) and _any_may_go_on(tx):
        return "no worker is running"
    return None


def _any_may_go_on(tx: Connection) -> bool:
    """Whether anything queued is in a batch that no person and no full budget has paused."""
    of_open = (job_tallies.c.batch_id == batches.c.id, batches.c.state == BatchState.OPEN)
    queued = (job_tallies.c.state == JobState.QUEUED, job_tallies.c.jobs > 0)
    return bool(tx.execute(select(exists().where(*of_open, *queued))).scalar_one())


def _recent_attempts(tx: Connection, batch_id: str) -> Sequence[AnyRow]:
    """Ended attempts of the batch, newest first: among the ledger's newest, or else of its last rows, where
    admission was last. Ids grow with time, so the primary key gives the order."""
    columns = (attempts.c.id, attempts.c.row, attempts.c.outcome, attempts.c.charged_nano, attempts.c.duration_ms)
    newest = select(*columns, attempts.c.batch_id).order_by(attempts.c.id.desc()).limit(_LOOK_BACK).subquery()
    mine = select(newest).where(newest.c.batch_id == batch_id, newest.c.outcome.is_not(None))
    found = tx.execute(mine.order_by(newest.c.id.desc()).limit(_RECENT)).all()
    if found:
        return found
    theirs = select(*columns).where(attempts.c.batch_id == batch_id, attempts.c.outcome.is_not(None))
    last_rows = theirs.order_by(attempts.c.row.desc(), attempts.c.number.desc()).limit(_RECENT)
    return sorted(tx.execute(last_rows), key=lambda row: str(row.id), reverse=True)


def _causes(tx: Connection, batch_id: str, most: int = 3) -> tuple[tuple[str, int], ...]:
    count = func.count().label("jobs")
    statement = (
        select(jobs.c.error_kind, count)
        .where(jobs.c.batch_id == batch_id, IN_TROUBLE)
        .group_by(jobs.c.error_kind)
        .order_by(count.desc(), jobs.c.error_kind)
        .limit(most)
    )
    return tuple((row.error_kind or "unknown cause", int(row.jobs)) for row in tx.execute(statement))


def _pictures(tx: Connection, batch_id: str, first: int, last: int) -> dict[int, tuple[Picture, ...]]:
    statement = (
        select(images)
        .where(images.c.batch_id == batch_id, images.c.row.between(first, last))
        .order_by(images.c.row, images.c.surplus, images.c.attempt_id, images.c.index)
    )
    found: dict[int, list[Picture]] = {}
    for row in tx.execute(statement):
        picture = Picture(row.path, row.format, row.bytes, row.width, row.height, bool(row.surplus))
        found.setdefault(row.row, []).append(picture)
    return {row: tuple(pictures) for row, pictures in found.items()}


def _pictured(row: AnyRow, pictures: tuple[Picture, ...]) -> PicturedJob:
    return PicturedJob(
        row=row.row,
        custom_id=row.custom_id,
        state=row.state,
        model=row.model,
        prompt=str(json.loads(row.request).get("prompt", "")),
        charged_nano=row.charged_nano,
        possible_nano=row.possible_nano,
        error_kind=row.error_kind,
        error_message=row.error_message,
        pictures=pictures,
    )
