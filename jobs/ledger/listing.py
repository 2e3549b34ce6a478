"""Rows for people and programs: jobs, attempts and images of a batch, streamed in manifest order.

Every function gives rows with the fields that the command line promises; memory does not grow with the batch.
Money stays in integer nano-dollars, moments become ISO 8601 in UTC.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Select, literal, select, tuple_

from jobs.ledger.clock import iso
from jobs.ledger.schema import attempts, images, jobs, tag_sets

_PAGE = 500


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


_Fields = dict[str, tuple[Column[Any], Callable[[Any], Any] | None]]
"""What one line shows, in order: its name, the column, and what is made of it where it is not as it is kept."""

_JOB: _Fields = {
    "batch": (jobs.c.batch_id, None),
    "row": (jobs.c.row, None),
    "custom_id": (jobs.c.custom_id, None),
    "state": (jobs.c.state, None),
    "model": (jobs.c.model, None),
    "attempts": (jobs.c.attempts, None),
    "images": (jobs.c.images, None),
    "charged_nanodollars": (jobs.c.charged_nano, None),
    "possible_nanodollars": (jobs.c.possible_nano, None),
    "error_kind": (jobs.c.error_kind, None),
    "error_message": (jobs.c.error_message, None),
    "tags": (tag_sets.c.tags, msgspec.json.decode),
}
_ATTEMPT: _Fields = {
    "id": (attempts.c.id, None),
    "batch": (attempts.c.batch_id, None),
    "row": (attempts.c.row, None),
    "custom_id": (jobs.c.custom_id, None),
    "number": (attempts.c.number, None),
    "worker": (attempts.c.worker_id, None),
    "endpoint": (attempts.c.endpoint, None),
    "model": (attempts.c.model, None),
    "admitted_at": (attempts.c.admitted_at, iso),
    "ended_at": (attempts.c.ended_at, iso),
    "outcome": (attempts.c.outcome, None),
    "http_status": (attempts.c.http_status, None),
    "request_id": (attempts.c.request_id, None),
    "error_kind": (attempts.c.error_kind, None),
    "error_message": (attempts.c.error_message, None),
    "usage": (attempts.c.usage, msgspec.json.decode),
    "ceiling_nanodollars": (attempts.c.ceiling_nano, None),
    "charged_nanodollars": (attempts.c.charged_nano, None),
    "possible_nanodollars": (attempts.c.possible_nano, None),
    "priced_by": (attempts.c.priced_by, None),
    "price_book": (attempts.c.price_book, None),
    "duration_ms": (attempts.c.duration_ms, None),
}
_IMAGE: _Fields = {
    "batch": (images.c.batch_id, None),
    "row": (images.c.row, None),
    "custom_id": (jobs.c.custom_id, None),
    "attempt": (images.c.attempt_id, None),
    "index": (images.c.index, None),
    "path": (images.c.path, None),
    "sha256": (images.c.sha256, None),
    "bytes": (images.c.bytes, None),
    "format": (images.c.format, None),
    "width": (images.c.width, None),
    "height": (images.c.height, None),
    "revised_prompt": (images.c.revised_prompt, None),
    "surplus": (images.c.surplus, None),
}


class Listing:
    """Rows, read while they are taken: once, and in the transaction that they are of."""

    def __init__(self, tx: Connection, statement: Select[Any], fields: _Fields) -> None:
        self._tx, self._statement, self._names = tx, statement, tuple(fields)
        self._shaped = [(place, shape) for place, (_, shape) in enumerate(fields.values()) if shape]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self._names, cells, strict=True)) for cells in self._cells())

    def records(self) -> Iterator[msgspec.Struct]:
        """The same for an encoder, which needs no dictionaries."""
        record = msgspec.defstruct("Record", self._names, gc=False)
        return (record(*cells) for cells in self._cells())

    def _cells(self) -> Iterator[list[Any]]:
        with self._tx.execute(self._statement, execution_options={"yield_per": _PAGE}) as pages:
            for row in chain.from_iterable(pages.partitions()):
                cells = list(row)
                for place, shape in self._shaped:
                    if cells[place] is not None:
                        cells[place] = shape(cells[place])
                yield cells


def list_jobs(tx: Connection, batch_id: str, chosen: Filter) -> Listing:
    statement = (
        _columns(_JOB)
        .join_from(jobs, tag_sets, tag_sets.c.id == jobs.c.tag_set)
        .where(jobs.c.batch_id == batch_id)
        .order_by(jobs.c.row)
    )
    if chosen.state:
        statement = statement.where(jobs.c.state == chosen.state)
    statement = _beyond(statement, chosen, jobs.c.row)
    return Listing(tx, _narrow(statement, jobs, chosen), _JOB)


def list_attempts(tx: Connection, batch_id: str, chosen: Filter) -> Listing:
    statement = (
        _columns(_ATTEMPT)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .where(attempts.c.batch_id == batch_id)
        .order_by(attempts.c.row, attempts.c.number)
    )
    if chosen.state:
        outcome = None if chosen.state == "open" else chosen.state
        statement = statement.where(attempts.c.outcome.is_not_distinct_from(outcome))
    statement = _beyond(statement, chosen, attempts.c.row, attempts.c.number)
    return Listing(tx, _narrow(statement, attempts, chosen), _ATTEMPT)


def list_images(tx: Connection, batch_id: str, chosen: Filter, locate: Callable[[str], str]) -> Listing:
    """`locate` turns a name in the image store into an absolute path or an object URL."""
    statement = (
        _columns(_IMAGE)
        .join_from(images, jobs, (jobs.c.batch_id == images.c.batch_id) & (jobs.c.row == images.c.row))
        .where(images.c.batch_id == batch_id)
        .order_by(images.c.row, images.c.index, images.c.attempt_id)
    )
    statement = _beyond(statement, chosen, images.c.row, images.c.index, images.c.attempt_id)
    if chosen.limit:
        statement = statement.limit(chosen.limit)
    return Listing(tx, statement, _IMAGE | {"path": (images.c.path, locate)})


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


def _columns(fields: _Fields) -> Select[Any]:
    return select(*(column.label(name) for name, (column, _) in fields.items()))
