"""What became of each job of a batch, with the answer that decided it: the lines of a batch's output files.

Read in pieces by row, each in a transaction of its own, so that a slow reader holds none open and memory does not
grow with the batch.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import attempts, images, jobs
from jobs.states import JobState, Outcome


@dataclass(frozen=True, slots=True)
class ResultImage:
    """One stored file; `path` is its name in the image store."""

    attempt_id: str
    index: int
    path: str
    bytes: int
    revised_prompt: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """A job and the attempt that decided it: the one whose images it has, else its last. `attempt_id` None: no call
    was made."""

    row: int
    custom_id: str
    state: JobState
    request: dict[str, Any]
    error_kind: str | None
    error_message: str | None
    attempt_id: str | None
    ended_at: int | None
    http_status: int | None
    request_id: str | None
    usage: dict[str, Any] | None
    facts: dict[str, Any]
    images: tuple[ResultImage, ...]


def read_results(
    tx: Connection, batch_id: str, states: Collection[JobState], after_row: int, most: int
) -> list[Result]:
    """The first jobs behind `after_row` that are in one of the states, in manifest order."""
    columns = (jobs.c.row, jobs.c.custom_id, jobs.c.state, jobs.c.request, jobs.c.error_kind, jobs.c.error_message)
    wanted = (jobs.c.batch_id == batch_id, jobs.c.row > after_row, jobs.c.state.in_(sorted(states)))
    rows = tx.execute(select(*columns).where(*wanted).order_by(jobs.c.row).limit(most)).all()
    if not rows:
        return []
    span = (rows[0].row, rows[-1].row)
    stored = _images(tx, batch_id, span)
    tried = _attempts(tx, batch_id, span)
    return [_result(row, tried[row.row], stored) for row in rows]


def _attempts(tx: Connection, batch_id: str, span: tuple[int, int]) -> dict[int, list[AnyRow]]:
    """By row, in order: those that succeeded, and the last."""
    statement = (
        select(attempts)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .where(attempts.c.batch_id == batch_id, attempts.c.row.between(*span))
        .where((attempts.c.outcome == Outcome.SUCCEEDED) | (attempts.c.number == jobs.c.attempts))
        .order_by(attempts.c.row, attempts.c.number)
    )
    found: dict[int, list[AnyRow]] = defaultdict(list)
    for row in tx.execute(statement):
        found[row.row].append(row)
    return found


def _images(tx: Connection, batch_id: str, span: tuple[int, int]) -> dict[str, list[ResultImage]]:
    """By attempt. What was paid a second time is no part of the result."""
    wanted = (images.c.batch_id == batch_id, images.c.row.between(*span), images.c.surplus.is_(False))
    statement = select(images).where(*wanted).order_by(images.c.attempt_id, images.c.index)
    found: dict[str, list[ResultImage]] = defaultdict(list)
    for row in tx.execute(statement):
        # A tuple has a method `index`.
        one = ResultImage(row.attempt_id, row._mapping["index"], row.path, row.bytes, row.revised_prompt)
        found[row.attempt_id].append(one)
    return found


def _result(job: AnyRow, tried: Sequence[AnyRow], stored: dict[str, list[ResultImage]]) -> Result:
    state = JobState(job.state)
    bringing = [one for one in tried if one.id in stored] if state is JobState.SUCCEEDED else []
    last = bringing[0] if bringing else tried[-1] if tried else None
    return Result(
        row=job.row,
        custom_id=job.custom_id,
        state=state,
        request=msgspec.json.decode(job.request),
        error_kind=job.error_kind,
        error_message=job.error_message,
        attempt_id=last.id if last else None,
        ended_at=last.ended_at if last else None,
        http_status=last.http_status if last else None,
        request_id=last.request_id if last else None,
        usage=msgspec.json.decode(last.usage) if last and last.usage else None,
        facts=msgspec.json.decode(last.facts) if last and last.facts else {},
        images=tuple(stored[last.id]) if bringing and last else (),
    )
