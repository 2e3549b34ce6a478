"""Rows for people and programs: jobs, attempts and images of a batch, streamed in manifest order.

Every function yields dictionaries with the fields that the command line promises; memory does not grow with
the batch. Money stays in integer nano-dollars, moments become ISO 8601 in UTC.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal, select, tuple_

from jobs.ledger.clock import iso
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import attempts, images, jobs, tag_sets

_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows to list; None: all."""

    state: str | None = None
    """Job state, or outcome (`open` for none yet) when attempts are listed."""
    model: str | None = None
    error_kind: str | None = None
    limit: int | None = None
    after: tuple[int | str, ...] = ()
    """The key of the last row that is known already: (row) of a job, (row, number) of an attempt, (row, index,
    attempt) of an image."""


def list_jobs(tx: Connection, batch_id: str, chosen: Filter) -> Iterator[dict[str, Any]]:
    statement = (
        select(jobs, tag_sets.c.tags)
        .join(tag_sets, tag_sets.c.id == jobs.c.tag_set)
        .where(jobs.c.batch_id == batch_id)
        .order_by(jobs.c.row)
    )
    if chosen.state:
        statement = statement.where(jobs.c.state == chosen.state)
    statement = _beyond(statement, chosen, jobs.c.row)
    return _stream(tx, _narrow(statement, jobs, chosen), _job)


def list_attempts(tx: Connection, batch_id: str, chosen: Filter) -> Iterator[dict[str, Any]]:
    statement = (
        select(attempts, jobs.c.custom_id)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .where(attempts.c.batch_id == batch_id)
        .order_by(attempts.c.row, attempts.c.number)
    )
    if chosen.state:
        outcome = None if chosen.state == "open" else chosen.state
        statement = statement.where(attempts.c.outcome.is_not_distinct_from(outcome))
    statement = _beyond(statement, chosen, attempts.c.row, attempts.c.number)
    return _stream(tx, _narrow(statement, attempts, chosen), _attempt)


def list_images(
    tx: Connection, batch_id: str, chosen: Filter, locate: Callable[[str], str]
) -> Iterator[dict[str, Any]]:
    """`locate` turns a name in the image store into an absolute path or an object URL."""
    statement = (
        select(images, jobs.c.custom_id)
        .join_from(images, jobs, (jobs.c.batch_id == images.c.batch_id) & (jobs.c.row == images.c.row))
        .where(images.c.batch_id == batch_id)
        .order_by(images.c.row, images.c.index, images.c.attempt_id)
    )
    statement = _beyond(statement, chosen, images.c.row, images.c.index, images.c.attempt_id)
    if chosen.limit:
        statement = statement.limit(chosen.limit)
    return _stream(tx, statement, lambda row: _image(row, locate))


def _beyond(statement: Select[Any], chosen: Filter, *key: ColumnElement[Any]) -> Select[Any]:
    """Keyset paging: the rows behind `chosen.after` in the order of `key`."""
    if not chosen.after:
        return statement
    known = [literal(value, column.type) for value, column in zip(chosen.after, key, strict=True)]
    return statement.where(tuple_(*key) > tuple_(*known))


def _narrow(statement: Select[Any], table: Any, chosen: Filter) -> Select[Any]:
    if chosen.model:
        statement = statement.where(table.c.model == chosen.model)
    if chosen.error_kind:
        statement = statement.where(table.c.error_kind == chosen.error_kind)
    return statement.limit(chosen.limit) if chosen.limit else statement


def _stream(
    tx: Connection, statement: Select[Any], shape: Callable[[AnyRow], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    with tx.execute(statement, execution_options={"yield_per": _PAGE}) as rows:
        for row in rows:
            yield shape(row)


def _job(row: AnyRow) -> dict[str, Any]:
    return {
        "batch": row.batch_id,
        "row": row.row,
        "custom_id": row.custom_id,
        "state": row.state,
        "model": row.model,
        "attempts": row.attempts,
        "images": row.images,
        "charged_nanodollars": row.charged_nano,
        "possible_nanodollars": row.possible_nano,
        "error_kind": row.error_kind,
        "error_message": row.error_message,
        "tags": json.loads(row.tags),
    }


def _attempt(row: AnyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "batch": row.batch_id,
        "row": row.row,
        "custom_id": row.custom_id,
        "number": row.number,
        "worker": row.worker_id,
        "endpoint": row.endpoint,
        "model": row.model,
        "admitted_at": iso(row.admitted_at),
        "ended_at": iso(row.ended_at),
        "outcome": row.outcome,
        "http_status": row.http_status,
        "request_id": row.request_id,
        "error_kind": row.error_kind,
        "error_message": row.error_message,
        "usage": None if row.usage is None else json.loads(row.usage),
        "ceiling_nanodollars": row.ceiling_nano,
        "charged_nanodollars": row.charged_nano,
        "possible_nanodollars": row.possible_nano,
        "priced_by": row.priced_by,
        "price_book": row.price_book,
        "duration_ms": row.duration_ms,
    }


def _image(row: AnyRow, locate: Callable[[str], str]) -> dict[str, Any]:
    return {
        "batch": row.batch_id,
        "row": row.row,
        "custom_id": row.custom_id,
        "attempt": row.attempt_id,
        "index": row.index,
        "path": locate(row.path),
        "sha256": row.sha256,
        "bytes": row.bytes,
        "format": row.format,
        "width": row.width,
        "height": row.height,
        "revised_prompt": row.revised_prompt,
        "surplus": row.surplus,
    }
