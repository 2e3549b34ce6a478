"""Rate limits and pauses of an endpoint, shared by every worker: reading, spending, learning.

One row per (endpoint, model). Admission spends from it inside its own transaction; what answers teach is written
in a transaction of its own, before settlement, so that the two never wait for each other in a circle.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from sqlalchemy import Connection, select, update

from jobs.ledger import clock
from jobs.ledger.engine import AnyRow, insert_missing
from jobs.ledger.schema import endpoints, rate_limits
from jobs.pacing import Limits, in_step, pace_now, throttled

_STATE = [field.name for field in fields(Limits)]


@dataclass(frozen=True, slots=True)
class Paused:
    """Why an endpoint, or one model of it, is not called at present."""

    model: str | None
    kind: str
    message: str
    since: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one answer said of limits: the answer to a call for so many images, admitted at `sent_at`. None: not
    said."""

    model: str
    images: int
    sent_at: int
    throttled: bool
    retry_after_s: float | None = None
    let_in_at: int = 0
    by_chance: bool = False
    """What this worker's `LetIn` says of a 429."""
    requests_per_min: int | None = None
    images_per_min: int | None = None
    tokens_per_min: int | None = None


def lock_limits(tx: Connection, endpoint: str, model: str) -> tuple[Limits, Paused | None]:
    """The row of (endpoint, model), made if it is missing, locked until the transaction ends."""
    table = rate_limits
    statement = select(table).where(table.c.endpoint == endpoint, table.c.model == model).with_for_update()
    row = tx.execute(statement).one_or_none()
    if row is None:
        insert_missing(tx, table, [{"endpoint": endpoint, "model": model}])
        row = tx.execute(statement).one()
    return _limits(row), _paused(model, row.paused_at, row.pause_kind, row.pause_message)


def save_limits(tx: Connection, endpoint: str, model: str, limits: Limits) -> None:
    table = rate_limits
    tx.execute(update(table).where(table.c.endpoint == endpoint, table.c.model == model).values(**asdict(limits)))


def learn(tx: Connection, endpoint: str, lessons: Sequence[Lesson], jitter: float) -> None:
    """Post what a group of answers said. Models are taken in order, as admission takes them."""
    for model in sorted({lesson.model for lesson in lessons}):
        limits, _ = lock_limits(tx, endpoint, model)
        now = clock.now(tx)
        limits = in_step(limits, now)
        for lesson in lessons:
            if lesson.model == model:
                limits = _learnt(limits, lesson, now, jitter)
        save_limits(tx, endpoint, model, limits)


def _learnt(limits: Limits, lesson: Lesson, now: int, jitter: float) -> Limits:
    """Headers count for limits, not for what is left of them: those of an answer speak of the moment at which its
    call came in, and every permit since then is in the buckets here."""
    said = {f"{unit}_per_min": getattr(lesson, f"{unit}_per_min") for unit in ("requests", "images", "tokens")}
    known = replace(limits, **{name: limit for name, limit in said.items() if limit is not None and limit > 0})
    if not lesson.throttled:
        return known
    return throttled(
        known,
        now,
        lesson.sent_at,
        lesson.images,
        lesson.retry_after_s,
        jitter,
        let_in_at=lesson.let_in_at,
        by_chance=lesson.by_chance,
    )


def read_pause(tx: Connection, endpoint: str) -> Paused | None:
    """The endpoint's own pause; shared lock, so that a pause waits for admissions under way and no longer."""
    row = tx.execute(select(endpoints).where(endpoints.c.url == endpoint).with_for_update(read=True)).one_or_none()
    return _paused(None, row.paused_at, row.pause_kind, row.pause_message) if row else None


def pause_endpoint(tx: Connection, endpoint: str, model: str | None, kind: str, message: str) -> bool:
    """Stop all calls to the endpoint, or to one model of it, until `resume`. The first reason stands; whether it is
    this one."""
    values = {"paused_at": clock.now(tx), "pause_kind": kind, "pause_message": message}
    if model is None:
        insert_missing(tx, endpoints, [{"url": endpoint}])
        chosen = update(endpoints).where(endpoints.c.url == endpoint, endpoints.c.paused_at.is_(None))
    else:
        lock_limits(tx, endpoint, model)
        table = rate_limits
        chosen = update(table).where(
            table.c.endpoint == endpoint, table.c.model == model, table.c.paused_at.is_(None)
        )
    return tx.execute(chosen.values(**values)).rowcount == 1


def resume_endpoints(tx: Connection) -> list[Paused]:
    """Lift every pause that account trouble caused; returns what was lifted."""
    lifted = list_pauses(tx)
    cleared = {"paused_at": None, "pause_kind": None, "pause_message": None}
    tx.execute(update(endpoints).values(**cleared))
    tx.execute(update(rate_limits).where(rate_limits.c.paused_at.is_not(None)).values(**cleared))
    return lifted


def list_pauses(tx: Connection, endpoint: str | None = None) -> list[Paused]:
    """Pauses in force, of one endpoint or of all; a whole endpoint's before single models'."""
    whole = select(endpoints).where(endpoints.c.paused_at.is_not(None))
    models = select(rate_limits).where(rate_limits.c.paused_at.is_not(None)).order_by(rate_limits.c.model)
    if endpoint is not None:
        whole, models = whole.where(endpoints.c.url == endpoint), models.where(rate_limits.c.endpoint == endpoint)
    found = [_paused(None, row.paused_at, row.pause_kind, row.pause_message) for row in tx.execute(whole)]
    found += [_paused(row.model, row.paused_at, row.pause_kind, row.pause_message) for row in tx.execute(models)]
    return [paused for paused in found if paused]


def blocked_until(tx: Connection, models: Sequence[str], endpoint: str | None = None) -> int:
    """The latest moment until which 429 answers hold back any of the models; 0 when none does."""
    held_back = select(rate_limits.c.blocked_until).where(rate_limits.c.model.in_(models))
    if endpoint is not None:
        held_back = held_back.where(rate_limits.c.endpoint == endpoint)
    return max(tx.execute(held_back).scalars(), default=0)


def learned_per_min(row: AnyRow, now: int) -> int | None:
    """The learned pace of a row of rate_limits, images a minute."""
    pace = pace_now(_limits(row), now)
    return None if pace is None else round(pace)


def _limits(row: AnyRow) -> Limits:
    return Limits(**{name: getattr(row, name) for name in _STATE})


def _paused(model: str | None, since: int | None, kind: str | None, message: str | None) -> Paused | None:
    return None if since is None else Paused(model, kind or "", message or "", since)
