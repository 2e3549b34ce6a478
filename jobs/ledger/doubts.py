"""Calls in doubt, read: which ones a person means, what each may have cost, and from when it may be freed.

Called by the commands that resolve and by the figures; nothing is changed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, func, select

from jobs.ledger import admission, clock
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import attempts, jobs
from jobs.states import JobState, Outcome

T = TypeVar("T")

_ID_LENGTH = 28
_MOST_NAMED = 1_000


@dataclass(frozen=True, slots=True)
class Doubt:
    """One attempt, as far as its resolution needs it."""

    attempt_id: str
    batch_id: str
    row: int
    custom_id: str
    outcome: str | None
    job_state: JobState
    ceiling_nano: int
    freeable_at: int
    """Until then a process that was stopped could still send it: milliseconds since 1970 UTC."""
    evidence: dict[str, Any]
    """What is known of its end, by column, to be kept beside the resolution."""


def match_attempts(tx: Connection, text: str, most: int = 5) -> list[str]:
    """Attempt ids that `text` can mean: the id or its beginning, with or without `a_`."""
    wanted = text if text.startswith("a_") else f"a_{text.upper()}"
    if len(wanted) >= _ID_LENGTH:
        return list(tx.execute(select(attempts.c.id).where(attempts.c.id == wanted)).scalars())
    began = attempts.c.id.startswith(wanted, autoescape=True)
    return list(tx.execute(select(attempts.c.id).where(began).order_by(attempts.c.id).limit(most)).scalars())


def unknown_of(tx: Connection, batch_id: str) -> list[str]:
    """The attempts of a batch that are in doubt, in manifest order."""
    mine = (attempts.c.batch_id == batch_id, attempts.c.outcome == Outcome.UNKNOWN)
    # Sorted here: to have them in order, SQLite would walk through all attempts of the batch.
    found = tx.execute(select(attempts.c.row, attempts.c.number, attempts.c.id).where(*mine)).all()
    return [row.id for row in sorted(found)]


def read_doubts(tx: Connection, attempt_ids: Sequence[str]) -> list[Doubt]:
    """The attempts, whatever became of them, in the order of their ids."""
    ids = sorted(attempt_ids)
    pieces = (_doubts().where(attempts.c.id.in_(piece)).order_by(attempts.c.id) for piece in in_pieces(ids))
    return [_doubt(row) for statement in pieces for row in tx.execute(statement)]


def in_pieces(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """No more at a time than one statement can name on either engine."""
    for start in range(0, len(values), _MOST_NAMED):
        yield values[start : start + _MOST_NAMED]


def oldest_unknown_s(tx: Connection, batch_id: str | None = None) -> float | None:
    """For how many seconds the oldest doubt of the batch, or of all, has waited; None: there is none."""
    oldest = select(func.min(attempts.c.ended_at)).where(attempts.c.outcome == Outcome.UNKNOWN)
    if batch_id is not None:
        oldest = oldest.where(attempts.c.batch_id == batch_id)
    since = tx.execute(oldest).scalar()
    return None if since is None else max(0, clock.now(tx) - since) / 1000


def freeable_at(row: AnyRow) -> int:
    return int(row.deadline_at + admission.LEASE_MS)


_EVIDENCE = ("http_status", "request_id", "error_kind", "error_message", "usage", "facts", "duration_ms")


def _doubts() -> Select[Any]:
    told = (attempts.c[name] for name in _EVIDENCE)
    return select(
        attempts.c.id,
        attempts.c.batch_id,
        attempts.c.row,
        attempts.c.outcome,
        attempts.c.ceiling_nano,
        attempts.c.deadline_at,
        *told,
        jobs.c.custom_id,
        jobs.c.state,
    ).join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))


def _doubt(row: AnyRow) -> Doubt:
    return Doubt(
        attempt_id=row.id,
        batch_id=row.batch_id,
        row=row.row,
        custom_id=row.custom_id,
        outcome=row.outcome,
        job_state=JobState(row.state),
        ceiling_nano=row.ceiling_nano,
        freeable_at=freeable_at(row),
        evidence={name: getattr(row, name) for name in _EVIDENCE},
    )
