"""Pages of rows for a person who looks around: jobs, images, doubts, acts. Called by the dashboard.

Every page is bounded and found by its key, not by an offset: the hundred-thousandth image comes as fast as the
first. Nothing is locked, nothing is changed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, tuple_

from jobs.ledger.doubts import freeable_at
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import acts, attempts, batches, images, jobs, tag_sets
from jobs.states import BatchState, JobState, Outcome

NO_CAUSE = "not known"
"""How a cause is called where a job carries no error kind."""
TROUBLE = (JobState.FAILED, JobState.REFUSED, JobState.HELD)
_MOST_TAG_SETS = 5_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a batch; None: all."""

    state: str | None = None
    cause: str | None = None
    """An error kind, or NO_CAUSE."""
    model: str | None = None


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job in a list."""

    row: int
    custom_id: str
    state: str
    model: str
    prompt: str
    attempts: int
    images: int
    charged_nano: int
    possible_nano: int
    error_kind: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class ImageLine:
    """One stored image in a gallery."""

    attempt_id: str
    index: int
    row: int
    custom_id: str
    prompt: str
    format: str
    width: int | None
    height: int | None
    surplus: bool

    @property
    def key(self) -> str:
        """Where the next page begins."""
        return f"{self.row}.{self.index}.{self.attempt_id}"


@dataclass(frozen=True, slots=True)
class DoubtLine:
    """One call whose outcome nobody saw. Moments in milliseconds since 1970 UTC."""

    attempt_id: str
    batch_id: str
    row: int
    number: int
    custom_id: str
    job_state: str
    model: str
    request_id: str | None
    error_kind: str | None
    error_message: str | None
    ended_at: int | None
    freeable_at: int
    possible_nano: int

    @property
    def key(self) -> str:
        return f"{self.batch_id}.{self.row}.{self.number}"


@dataclass(frozen=True, slots=True)
class ActLine:
    """One decision."""

    id: int
    at: int
    who: str
    verb: str
    batch_id: str | None
    what: Mapping[str, Any]
    evidence: str | None


def batch_ids(tx: Connection, after: str | None, most: int) -> list[str]:
    """The newest batches, or those that come after `after` in that order."""
    moment = select(batches.c.created_at).where(batches.c.id == after).scalar_subquery()
    statement = select(batches.c.id).where(batches.c.state != BatchState.LOADING)
    if after is not None:
        key = tuple_(batches.c.created_at, batches.c.id)
        statement = statement.where(key < tuple_(moment, literal(after)))
    return list(
        tx.execute(statement.order_by(batches.c.created_at.desc(), batches.c.id.desc()).limit(most)).scalars()
    )


def batch_row(tx: Connection, batch_id: str) -> "AnyRow | None":
    """The row of a batch that was opened; None: there is none."""
    opened = (batches.c.id == batch_id, batches.c.state != BatchState.LOADING)
    return tx.execute(select(batches).where(*opened)).one_or_none()


def job_page(tx: Connection, batch_id: str, chosen: JobFilter, after: int, most: int) -> list[JobLine]:
    """Jobs in manifest order, those behind row `after`."""
    statement = select(jobs).where(jobs.c.row > after, *chosen_jobs(batch_id, chosen))
    return [_job_line(row) for row in tx.execute(statement.order_by(jobs.c.row).limit(most))]


def chosen_jobs(batch_id: str, chosen: JobFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter. A cause without a state means jobs in trouble, which an index knows."""
    clauses: list[ColumnElement[bool]] = [jobs.c.batch_id == batch_id]
    if chosen.state:
        clauses.append(jobs.c.state == chosen.state)
    elif chosen.cause:
        clauses.append(jobs.c.state.in_(TROUBLE))
    if chosen.cause:
        clauses.append(jobs.c.error_kind.is_not_distinct_from(None if chosen.cause == NO_CAUSE else chosen.cause))
    if chosen.model:
        clauses.append(jobs.c.model == chosen.model)
    return clauses


def image_page(tx: Connection, batch_id: str, after: str, most: int) -> list[ImageLine]:
    """Images in manifest order, those behind the one with the key `after`; "" begins."""
    statement = _images().where(images.c.batch_id == batch_id)
    place = _image_key(after)
    if place:
        key = tuple_(images.c.row, images.c.index, images.c.attempt_id)
        statement = statement.where(key > tuple_(*map(literal, place)))
    ordered = statement.order_by(images.c.row, images.c.index, images.c.attempt_id)
    return [_image_line(row) for row in tx.execute(ordered.limit(most))]


def latest_images(tx: Connection, batch_id: str, most: int) -> list[ImageLine]:
    """Those of the last rows of the manifest that have any."""
    statement = _images().where(images.c.batch_id == batch_id)
    ordered = statement.order_by(images.c.row.desc(), images.c.index, images.c.attempt_id)
    return [_image_line(row) for row in tx.execute(ordered.limit(most))]


def doubt_page(tx: Connection, batch_id: str | None, after: str, most: int) -> list[DoubtLine]:
    """Calls in doubt, by batch and row."""
    key = tuple_(attempts.c.batch_id, attempts.c.row, attempts.c.number)
    statement = (
        select(attempts, jobs.c.custom_id, jobs.c.state)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .where(attempts.c.outcome == Outcome.UNKNOWN)
        .order_by(attempts.c.batch_id, attempts.c.row, attempts.c.number)
    )
    if batch_id:
        statement = statement.where(attempts.c.batch_id == batch_id)
    parts = after.split(".")
    if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        statement = statement.where(key > tuple_(literal(parts[0]), literal(int(parts[1])), literal(int(parts[2]))))
    return [_doubt_line(row) for row in tx.execute(statement.limit(most))]


def count_doubts(tx: Connection) -> tuple[int, int]:
    """(calls in doubt, the nano-dollars that they may have cost)"""
    sums = select(func.count(), func.coalesce(func.sum(attempts.c.possible_nano), 0))
    number, possible = tx.execute(sums.where(attempts.c.outcome == Outcome.UNKNOWN)).one()
    return int(number), int(possible)


def act_page(tx: Connection, batch_id: str | None, before: int | None, most: int) -> list[ActLine]:
    """Acts of one batch or of all, the newest first, those older than `before`."""
    statement = select(acts).order_by(acts.c.id.desc()).limit(most)
    if batch_id:
        statement = statement.where(acts.c.batch_id == batch_id)
    if before is not None:
        statement = statement.where(acts.c.id < before)
    return [
        ActLine(row.id, row.at, row.who, row.verb, row.batch_id, json.loads(row.what), row.evidence)
        for row in tx.execute(statement)
    ]


def tag_keys(tx: Connection) -> list[str]:
    """The names of tags in use, as far as the first thousands of tag sets tell."""
    found: set[str] = set()
    for text in tx.execute(select(tag_sets.c.tags).limit(_MOST_TAG_SETS)).scalars():
        found.update(json.loads(text))
    return sorted(found)


def prompt_of(request: str) -> str:
    return str(json.loads(request).get("prompt", ""))


def _images() -> Select[Any]:
    return select(images, jobs.c.custom_id, jobs.c.request).join_from(
        images, jobs, (jobs.c.batch_id == images.c.batch_id) & (jobs.c.row == images.c.row)
    )


def _image_key(text: str) -> tuple[int, int, str] | None:
    row, _, rest = text.partition(".")
    index, _, attempt_id = rest.partition(".")
    return (int(row), int(index), attempt_id) if row.isdecimal() and index.isdecimal() else None


def _job_line(row: AnyRow) -> JobLine:
    return JobLine(
        row=row.row,
        custom_id=row.custom_id,
        state=row.state,
        model=row.model,
        prompt=prompt_of(row.request),
        attempts=row.attempts,
        images=row.images,
        charged_nano=row.charged_nano,
        possible_nano=row.possible_nano,
        error_kind=row.error_kind,
        error_message=row.error_message,
    )


def _image_line(row: AnyRow) -> ImageLine:
    return ImageLine(
        attempt_id=row.attempt_id,
        index=row._mapping["index"],  # a tuple has a method of that name
        row=row.row,
        custom_id=row.custom_id,
        prompt=prompt_of(row.request),
        format=row.format,
        width=row.width,
        height=row.height,
        surplus=bool(row.surplus),
    )


def _doubt_line(row: AnyRow) -> DoubtLine:
    return DoubtLine(
        attempt_id=row.id,
        batch_id=row.batch_id,
        row=row.row,
        number=row.number,
        custom_id=row.custom_id,
        job_state=row.state,
        model=row.model,
        request_id=row.request_id,
        error_kind=row.error_kind,
        error_message=row.error_message,
        ended_at=row.ended_at,
        freeable_at=freeable_at(row),
        possible_nano=row.possible_nano,
    )
