"""The rows and sums that one settlement writes: a plain accumulator, filled decision by decision, written once.

Settlement owns the locks and the order; this module knows which column each figure of an ending goes to.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Connection, Integer, Table, Text, case, update

from jobs.ledger import clock, funds
from jobs.ledger.endings import Booked, Change, Ending, StoredImage
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import (
    ALL_TAGS,
    attempt_tallies,
    attempts,
    charge_tallies,
    charges,
    images,
    job_tallies,
    jobs,
    progress,
    tag_tallies,
)
from jobs.ledger.sets import EachRow, insert_rows, types_of, upsert_adding
from jobs.money import Charge, Meter
from jobs.states import UNFINISHED, JobState, Outcome

Sums = dict[tuple[Any, ...], list[int]]
"""{primary key of a tally row: one number for each of its other columns}"""


def _add(sums: Sums, key: tuple[Any, ...], *numbers: int) -> None:
    kept = sums.get(key)
    sums[key] = list(numbers) if kept is None else [one + other for one, other in zip(kept, numbers, strict=True)]


class Books:
    """The rows and sums one settlement will write; `now` is its moment by the ledger's clock."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.today = clock.utc_day(now)
        self.attempts: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.charges: list[dict[str, Any]] = []
        self.jobs_ended = 0
        self.booked: list[Booked] = []
        self.taken_up: set[str] = set()
        """Batches with jobs that waited for a decision and are queued again: they may have been done."""
        self._money: Sums = {}
        self._job_tallies: Sums = {}
        self._attempt_tallies: Sums = {}
        self._tag_tallies: Sums = {}
        self._charge_tallies: Sums = {}
        self._progress: Sums = {}

    @property
    def batches(self) -> list[str]:
        return sorted({batch_id for batch_id, _, _ in self._money})

    def post(self, row: AnyRow, ending: Ending, change: Change, stated: Sequence[AnyRow] = ()) -> None:
        """`stated`: charges of an attempt that had been resolved without an answer."""
        self.attempts.append(_attempt_values(row, ending, change, self.now))
        self.jobs.append(_job_values(row, ending, change, self.now))
        self.images += [_image_values(row, ending, change, image, self.now) for image in ending.images]
        admitted = (row.batch_id, clock.utc_day(row.admitted_at), row.tag_set)
        _add(self._money, admitted, change.money.reserved, change.money.possible, change.money.confirmed)
        self._post_attempt(row, ending, change)
        self.booked.append(
            Booked(row.id, row.endpoint, row.model, ending.outcome, change.charged_nano or 0, change.corrects)
        )
        number = max((one.correction for one in stated), default=0) + 1 if change.corrects else 0
        for charge in (*_taken_back(stated), *ending.cost.charges) if ending.cost else ():
            self._post_charge(row, ending, charge, number)
        for one in stated:
            self._move_charge(row, ending.outcome, one)
        self._post_job(row, ending, change)

    def _post_attempt(self, row: AnyRow, ending: Ending, change: Change) -> None:
        """Columns: attempts, images, charged_nano, possible_nano, unpriced."""
        unpriced = int(ending.cost is not None and change.charged_nano is None)
        numbers = (1, len(ending.images), change.charged_nano or 0, change.possible_nano, unpriced)
        self._tally(row, self.today, ending.outcome.value, numbers)
        if row.outcome:  # a doubt, resolved or not: it leaves the day and outcome it stood under
            doubt = (-1, 0, -(row.charged_nano or 0), -row.possible_nano, 0)
            self._tally(row, clock.utc_day(row.ended_at), row.outcome, doubt)

    def _tally(self, row: AnyRow, day: str, outcome: str, numbers: Sequence[int]) -> None:
        _add(self._attempt_tallies, (row.batch_id, day, row.model, ALL_TAGS, outcome), *numbers)
        _add(self._tag_tallies, (row.batch_id, day, row.tag_set), *numbers)

    def _post_charge(self, row: AnyRow, ending: Ending, charge: Charge, number: int) -> None:
        """Columns of the tally: charges, quantity, amount_nano, unpriced."""
        self.charges.append(_charge_values(row, ending, charge, number, self.now))
        key = (row.batch_id, self.today, row.model, ALL_TAGS, ending.outcome.value, charge.meter.value)
        unpriced = int(charge.amount_nano is None)
        _add(self._charge_tallies, key, 1, charge.quantity, charge.amount_nano or 0, unpriced)

    def _move_charge(self, row: AnyRow, outcome: Outcome, charge: AnyRow) -> None:
        """A charge is tallied under the outcome of its attempt, which changes from what was resolved."""
        where = (row.batch_id, clock.utc_day(charge.charged_at), row.model, ALL_TAGS)
        numbers = (1, charge.quantity, charge.amount_nano, 0)
        _add(self._charge_tallies, (*where, row.outcome, charge.meter), *(-number for number in numbers))
        _add(self._charge_tallies, (*where, outcome.value, charge.meter), *numbers)

    def _post_job(self, row: AnyRow, ending: Ending, change: Change) -> None:
        if change.state != row.state:
            _add(self._job_tallies, (row.batch_id, row.model, row.state), -1)
            _add(self._job_tallies, (row.batch_id, row.model, change.state.value), 1)
        if row.state == JobState.HELD and change.state is JobState.QUEUED:
            self.taken_up.add(row.batch_id)
        ended = int(row.state in UNFINISHED and change.state not in UNFINISHED)
        self.jobs_ended += ended
        _add(self._progress, (row.batch_id, self.now // 60_000), ended, len(ending.images))

    def write(self, tx: Connection) -> None:
        if not self.attempts:
            return
        _END_ATTEMPT.run(tx, self.attempts)
        _MOVE_JOB.run(tx, self.jobs)
        insert_rows(tx, images, self.images)
        insert_rows(tx, charges, self.charges)
        funds.move(tx, self._money)
        self._write_tallies(tx)

    def _write_tallies(self, tx: Connection) -> None:
        upsert_adding(tx, job_tallies, _rows(job_tallies, self._job_tallies))
        upsert_adding(tx, attempt_tallies, _rows(attempt_tallies, self._attempt_tallies))
        upsert_adding(tx, tag_tallies, _rows(tag_tallies, self._tag_tallies))
        upsert_adding(tx, charge_tallies, _rows(charge_tallies, self._charge_tallies))
        upsert_adding(tx, progress, _rows(progress, self._progress))


def _rows(table: Table, sums: Sums) -> list[dict[str, Any]]:
    """Tally rows out of sums: the key columns, then the others, in the order of the table."""
    keys = [column.name for column in table.primary_key]
    names = [*keys, *(column.name for column in table.columns if column.name not in keys)]
    return [dict(zip(names, (*key, *numbers), strict=True)) for key, numbers in sums.items()]


def _attempt_values(row: AnyRow, ending: Ending, change: Change, now: int) -> dict[str, Any]:
    usage = ending.usage
    return {
        "attempt": row.id,
        "outcome": ending.outcome.value,
        "ended_at": now,
        "http_status": ending.http_status,
        "request_id": ending.request_id,
        "error_kind": ending.error_kind,
        "error_message": ending.error_message,
        "usage": None if usage is None else _json(usage),
        **_token_columns(ending),
        "facts": _json(ending.facts) if ending.facts else None,
        "duration_ms": ending.duration_ms,
        "charged_nano": change.charged_nano,
        "possible_nano": change.possible_nano,
        "priced_by": ending.cost.priced_by if ending.cost else None,
        "price_book": ending.price_book if ending.cost else None,
    }


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def _token_columns(ending: Ending) -> dict[str, int | None]:
    """Usage as columns, from the charges: one place reads usage, the price rule."""
    quantities = {charge.meter.value: charge.quantity for charge in ending.cost.charges} if ending.cost else {}
    return {name: quantities.get(name) for name in ("text_in", "image_in", "text_out", "image_out")}


def _job_values(row: AnyRow, ending: Ending, change: Change, now: int) -> dict[str, Any]:
    return {
        "batch": row.batch_id,
        "manifest_row": row.row,
        "state": change.state.value,
        "due_at": now + change.due_in_ms,
        "counted": change.counted,
        "unknowns": change.unknowns,
        "d_key": int(change.new_key),
        "d_images": 0 if change.surplus else len(ending.images),
        "d_charged": change.money.confirmed,
        "fresh": change.fresh,
        "d_possible": change.money.possible,
        "error_kind": ending.error_kind if change.shows_error else row.error_kind,
        "error_message": ending.error_message if change.shows_error else row.error_message,
    }


def _taken_back(stated: Sequence[AnyRow]) -> tuple[Charge, ...]:
    """The charge that cancels what was stated; charges are only ever added."""
    amount = sum(charge.amount_nano for charge in stated)
    return (Charge(Meter.STATED, 0, "image", None, -amount),) if amount else ()


def _charge_values(row: AnyRow, ending: Ending, charge: Charge, number: int, now: int) -> dict[str, Any]:
    priced_by = ending.cost.priced_by if ending.cost else "none"
    return {
        "attempt_id": row.id,
        "meter": charge.meter.value,
        "correction": number,
        "quantity": charge.quantity,
        "unit": charge.unit,
        "rate_nano_per_million": charge.rate_nano_per_million,
        "amount_nano": charge.amount_nano,
        "price_book": ending.price_book,
        "basis": "stated" if charge.meter is Meter.STATED else priced_by,
        "charged_at": now,
    }


def _image_values(row: AnyRow, ending: Ending, change: Change, image: StoredImage, now: int) -> dict[str, Any]:
    return {
        "attempt_id": row.id,
        "index": image.index,
        "batch_id": row.batch_id,
        "row": row.row,
        "path": image.path,
        "sha256": image.sha256,
        "bytes": image.bytes,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "revised_prompt": image.revised_prompt,
        "surplus": change.surplus,
        "stored_at": now,
    }


# The guards of these statements are settlement's locks and reads, in the same transaction.
_ENDED = types_of(
    attempts,
    *("outcome", "ended_at", "http_status", "request_id", "error_kind", "error_message"),
    *("usage", "text_in", "image_in", "text_out", "image_out", "facts", "duration_ms"),
    *("charged_nano", "possible_nano", "priced_by", "price_book"),
)
_END_ATTEMPT = EachRow(
    {"attempt": Text(), **_ENDED},
    lambda given: (
        update(attempts).where(attempts.c.id == given["attempt"]).values({name: given[name] for name in _ENDED})
    ),
)

_MOVED = types_of(jobs, "state", "due_at", "counted", "unknowns", "error_kind", "error_message")
_CHANGED = {"d_key": Integer(), "d_images": Integer(), "d_charged": BigInteger(), "d_possible": BigInteger()}
_MOVE_JOB = EachRow(
    {"batch": Text(), "manifest_row": BigInteger(), **_MOVED, **_CHANGED, "fresh": Boolean()},
    lambda given: (
        update(jobs)
        .where(jobs.c.batch_id == given["batch"], jobs.c.row == given["manifest_row"])
        .values(
            **{name: given[name] for name in _MOVED},
            key_number=jobs.c.key_number + given["d_key"],
            first_admitted_at=case((given["fresh"], None), else_=jobs.c.first_admitted_at),
            images=jobs.c.images + given["d_images"],
            charged_nano=jobs.c.charged_nano + given["d_charged"],
            possible_nano=jobs.c.possible_nano + given["d_possible"],
        )
    ),
)
