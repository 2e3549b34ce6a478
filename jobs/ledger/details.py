"""One job, one image, and the machines at work, with everything that is known of them. Called by the dashboard.

A job comes with its attempts, each with its charges down to the price line and the images that it brought.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from jobs.ledger import clock
from jobs.ledger.admission import LEASE_MS
from jobs.ledger.engine import AnyRow
from jobs.ledger.limits import Paused, learned_per_min, list_pauses
from jobs.ledger.schema import attempts, charges, images, jobs, rate_limits, tag_sets, workers

_MOST_ENDED_WORKERS = 20


@dataclass(frozen=True, slots=True)
class Charge:
    """Money of one attempt for one meter. `amount_nano` None: unpriced."""

    meter: str
    correction: int
    quantity: int
    unit: str
    rate_nano_per_million: int | None
    amount_nano: int | None
    price_book: str
    basis: str


@dataclass(frozen=True, slots=True)
class Image:
    """One stored file. `path` is its name in the store."""

    attempt_id: str
    index: int
    batch_id: str
    row: int
    path: str
    sha256: str
    bytes: int
    format: str
    width: int | None
    height: int | None
    revised_prompt: str | None
    surplus: bool
    stored_at: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call. Moments in milliseconds since 1970 UTC."""

    id: str
    number: int
    worker_id: str
    endpoint: str
    admitted_at: int
    ended_at: int | None
    outcome: str | None
    http_status: int | None
    request_id: str | None
    error_kind: str | None
    error_message: str | None
    usage: Mapping[str, Any] | None
    duration_ms: int | None
    ceiling_nano: int
    charged_nano: int | None
    possible_nano: int
    priced_by: str | None
    price_book: str | None
    charges: tuple[Charge, ...]
    images: tuple[Image, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a manifest and all that became of it."""

    batch_id: str
    row: int
    custom_id: str
    state: str
    model: str
    request: Mapping[str, Any]
    tags: Mapping[str, str]
    ceiling_nano: int
    charged_nano: int
    possible_nano: int
    due_at: int
    error_kind: str | None
    error_message: str | None
    attempts: tuple[Attempt, ...]

    @property
    def prompt(self) -> str:
        return str(self.request.get("prompt", ""))

    @property
    def images(self) -> list[Image]:
        return [image for attempt in self.attempts for image in attempt.images]


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process. `alive`: its heartbeat is fresh."""

    id: str
    host: str
    pid: int
    started_at: int
    beat_at: int
    ended_at: int | None
    in_flight: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """What is known of one model at one endpoint."""

    endpoint: str
    model: str
    requests_per_min: int | None
    images_per_min: int | None
    tokens_per_min: int | None
    pace_per_min: int | None
    blocked_until: int
    paused: str | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workers and what they meet."""

    workers: list[Worker]
    limits: list[Limit]
    pauses: list[Paused]


def read_job(tx: Connection, batch_id: str, row: int) -> Job | None:
    statement = select(jobs, tag_sets.c.tags).join(tag_sets, tag_sets.c.id == jobs.c.tag_set)
    found = tx.execute(statement.where(jobs.c.batch_id == batch_id, jobs.c.row == row)).one_or_none()
    if found is None:
        return None
    return Job(
        batch_id=found.batch_id,
        row=found.row,
        custom_id=found.custom_id,
        state=found.state,
        model=found.model,
        request=json.loads(found.request),
        tags=json.loads(found.tags),
        ceiling_nano=found.ceiling_nano,
        charged_nano=found.charged_nano,
        possible_nano=found.possible_nano,
        due_at=found.due_at,
        error_kind=found.error_kind,
        error_message=found.error_message,
        attempts=_attempts(tx, batch_id, row),
    )


def read_image(tx: Connection, attempt_id: str, index: int) -> Image | None:
    mine = (images.c.attempt_id == attempt_id, images.c.index == index)
    found = tx.execute(select(images).where(*mine)).one_or_none()
    return _image(found) if found else None


def read_fleet(tx: Connection) -> Fleet:
    """Live workers and the last that ended, limits by endpoint and model, pauses in force."""
    now = clock.now(tx)
    live = select(workers).where(workers.c.ended_at.is_(None)).order_by(workers.c.started_at)
    ended = select(workers).where(workers.c.ended_at.is_not(None)).order_by(workers.c.ended_at.desc())
    rows = [*tx.execute(live), *tx.execute(ended.limit(_MOST_ENDED_WORKERS))]
    known = tx.execute(select(rate_limits).order_by(rate_limits.c.endpoint, rate_limits.c.model))
    return Fleet([_worker(row, now) for row in rows], [_limit(row, now) for row in known], list_pauses(tx))


def _attempts(tx: Connection, batch_id: str, row: int) -> tuple[Attempt, ...]:
    mine = (attempts.c.batch_id == batch_id, attempts.c.row == row)
    rows = tx.execute(select(attempts).where(*mine).order_by(attempts.c.number)).all()
    ids = [found.id for found in rows]
    charged = tx.execute(select(charges).where(charges.c.attempt_id.in_(ids)).order_by(charges.c.id)).all()
    stored = tx.execute(
        select(images).where(images.c.attempt_id.in_(ids)).order_by(images.c.attempt_id, images.c.index)
    ).all()
    return tuple(_attempt(found, charged, stored) for found in rows)


def _attempt(row: AnyRow, charged: Sequence[AnyRow], stored: Sequence[AnyRow]) -> Attempt:
    return Attempt(
        id=row.id,
        number=row.number,
        worker_id=row.worker_id,
        endpoint=row.endpoint,
        admitted_at=row.admitted_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
        http_status=row.http_status,
        request_id=row.request_id,
        error_kind=row.error_kind,
        error_message=row.error_message,
        usage=None if row.usage is None else json.loads(row.usage),
        duration_ms=row.duration_ms,
        ceiling_nano=row.ceiling_nano,
        charged_nano=row.charged_nano,
        possible_nano=row.possible_nano,
        priced_by=row.priced_by,
        price_book=row.price_book,
        charges=tuple(_charge(one) for one in charged if one.attempt_id == row.id),
        images=tuple(_image(one) for one in stored if one.attempt_id == row.id),
    )


def _charge(row: AnyRow) -> Charge:
    return Charge(
        meter=row.meter,
        correction=row.correction,
        quantity=row.quantity,
        unit=row.unit,
        rate_nano_per_million=row.rate_nano_per_million,
        amount_nano=row.amount_nano,
        price_book=row.price_book,
        basis=row.basis,
    )


def _image(row: AnyRow) -> Image:
    return Image(
        attempt_id=row.attempt_id,
        index=row._mapping["index"],  # a tuple has a method of that name
        batch_id=row.batch_id,
        row=row.row,
        path=row.path,
        sha256=row.sha256,
        bytes=row.bytes,
        format=row.format,
        width=row.width,
        height=row.height,
        revised_prompt=row.revised_prompt,
        surplus=bool(row.surplus),
        stored_at=row.stored_at,
    )


def _worker(row: AnyRow, now: int) -> Worker:
    alive = row.ended_at is None and row.beat_at > now - LEASE_MS
    return Worker(row.id, row.host, row.pid, row.started_at, row.beat_at, row.ended_at, row.in_flight, alive)


def _limit(row: AnyRow, now: int) -> Limit:
    return Limit(
        endpoint=row.endpoint,
        model=row.model,
        requests_per_min=row.requests_per_min,
        images_per_min=row.images_per_min,
        tokens_per_min=row.tokens_per_min,
        pace_per_min=learned_per_min(row, now),
        blocked_until=row.blocked_until if row.blocked_until > now else 0,
        paused=None if row.paused_at is None else f"{row.pause_kind}: {row.pause_message}",
    )
