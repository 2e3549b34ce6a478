"""The rows and sums that one settlement writes: a plain accumulator, filled decision by decision, written once.

Settlement owns the locks and the order; this module knows which column each figure of an ending goes to.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, update

from jobs.ledger import clock
from jobs.ledger.endings import Change, Ending, Money, StoredImage
from jobs.ledger.engine import AnyRow, upsert_adding
from jobs.ledger.schema import (
    attempt_tallies,
    attempts,
    budgets,
    charge_tallies,
    charges,
    images,
    job_tallies,
    jobs,
    progress,
)
from jobs.states import UNFINISHED


@dataclass
class Books:
    """The rows and sums one settlement will write."""

    now: int
    attempts: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    charges: list[dict[str, Any]] = field(default_factory=list)
    money: dict[str, Counter[str]] = field(default_factory=dict)
    job_tallies: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    attempt_tallies: dict[tuple[Any, ...], Counter[str]] = field(default_factory=dict)
    charge_tallies: dict[tuple[Any, ...], Counter[str]] = field(default_factory=dict)
    progress: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)

    def post(self, row: AnyRow, ending: Ending, change: Change) -> None:
        self.attempts.append(_attempt_values(row, ending, change, self.now))
        self.jobs.append(_job_values(row, ending, change, self.now))
        self.images += [_image_values(row, ending, change, image, self.now) for image in ending.images]
        self._post_money(row.batch_id, change.money)
        self._post_attempt(row, ending, change)
        self._post_charges(row, ending)
        self._post_job(row, ending, change)

    def _post_money(self, batch_id: str, money: Money) -> None:
        sums = self.money.setdefault(batch_id, Counter())
        sums.update(reserved=money.reserved, possible=money.possible, confirmed=money.confirmed)

    def _post_attempt(self, row: AnyRow, ending: Ending, change: Change) -> None:
        key = (row.batch_id, clock.utc_day(self.now), row.model, row.tag_set, ending.outcome.value)
        self.attempt_tallies.setdefault(key, Counter()).update(
            attempts=1,
            images=len(ending.images),
            charged_nano=change.charged_nano or 0,
            possible_nano=change.possible_nano,
            unpriced=int(ending.cost is not None and change.charged_nano is None),
        )
        if row.outcome:  # a doubt resolved: it leaves the day and outcome it stood under
            doubt = (row.batch_id, clock.utc_day(row.ended_at), row.model, row.tag_set, row.outcome)
            self.attempt_tallies.setdefault(doubt, Counter()).update(
                attempts=-1, images=0, charged_nano=0, possible_nano=-row.ceiling_nano, unpriced=0
            )

    def _post_charges(self, row: AnyRow, ending: Ending) -> None:
        for charge in ending.cost.charges if ending.cost else ():
            self.charges.append(
                {
                    "attempt_id": row.id,
                    "meter": charge.meter,
                    "quantity": charge.quantity,
                    "unit": charge.unit,
                    "rate_nano_per_million": charge.rate_nano_per_million,
                    "amount_nano": charge.amount_nano,
                    "price_book": ending.price_book,
                    "basis": ending.cost.priced_by if ending.cost else "none",
                    "charged_at": self.now,
                }
            )
            key = (
                row.batch_id,
                clock.utc_day(self.now),
                row.model,
                row.tag_set,
                ending.outcome.value,
                charge.meter,
            )
            self.charge_tallies.setdefault(key, Counter()).update(
                charges=1,
                quantity=charge.quantity,
                amount_nano=charge.amount_nano or 0,
                unpriced=int(charge.amount_nano is None),
            )

    def _post_job(self, row: AnyRow, ending: Ending, change: Change) -> None:
        if change.state != row.state:
            self.job_tallies[row.batch_id, row.model, row.state] -= 1
            self.job_tallies[row.batch_id, row.model, change.state.value] += 1
        ended = row.state in UNFINISHED and change.state not in UNFINISHED
        self.progress.setdefault((row.batch_id, self.now // 60_000), Counter()).update(
            jobs_ended=int(ended), images=len(ending.images)
        )

    def write(self, tx: Connection) -> None:
        if not self.attempts:
            return
        tx.execute(_END_ATTEMPT, self.attempts)
        tx.execute(_MOVE_JOB, self.jobs)
        for table, rows in ((images, self.images), (charges, self.charges)):
            if rows:
                tx.execute(insert(table), rows)
        self._write_money(tx)
        self._write_tallies(tx)

    @property
    def jobs_ended(self) -> int:
        return sum(sums["jobs_ended"] for sums in self.progress.values())

    def _write_money(self, tx: Connection) -> None:
        rows = [
            {"b": batch_id, **{f"d_{name}": amount for name, amount in sums.items()}}
            for batch_id, sums in sorted(self.money.items())
        ]
        tx.execute(_MOVE_MONEY, rows)

    def _write_tallies(self, tx: Connection) -> None:
        upsert_adding(
            tx, job_tallies, _rows(job_tallies, {key: {"jobs": n} for key, n in self.job_tallies.items()})
        )
        upsert_adding(tx, attempt_tallies, _rows(attempt_tallies, self.attempt_tallies))
        upsert_adding(tx, charge_tallies, _rows(charge_tallies, self.charge_tallies))
        upsert_adding(tx, progress, _rows(progress, self.progress))


def _rows(table: Table, sums: dict[Any, Any]) -> list[dict[str, Any]]:
    """Tally rows out of {primary key values: {column: number}}."""
    keys = [column.name for column in table.primary_key]
    return [dict(zip(keys, key, strict=True)) | dict(numbers) for key, numbers in sums.items()]


def _attempt_values(row: AnyRow, ending: Ending, change: Change, now: int) -> dict[str, Any]:
    usage = ending.usage
    return {
        "a": row.id,
        "outcome": ending.outcome.value,
        "ended_at": now,
        "http_status": ending.http_status,
        "request_id": ending.request_id,
        "error_kind": ending.error_kind,
        "error_message": ending.error_message,
        "usage": None if usage is None else json.dumps(usage, ensure_ascii=False, separators=(",", ":")),
        **_token_columns(ending),
        "facts": json.dumps(ending.facts, ensure_ascii=False) if ending.facts else None,
        "duration_ms": ending.duration_ms,
        "charged_nano": change.charged_nano,
        "possible_nano": change.possible_nano,
        "priced_by": ending.cost.priced_by if ending.cost else None,
        "price_book": ending.price_book if ending.cost else None,
    }


def _token_columns(ending: Ending) -> dict[str, int | None]:
    """Usage as columns, from the charges: one place reads usage, the price rule."""
    quantities = {charge.meter.value: charge.quantity for charge in ending.cost.charges} if ending.cost else {}
    return {name: quantities.get(name) for name in ("text_in", "image_in", "text_out", "image_out")}


def _job_values(row: AnyRow, ending: Ending, change: Change, now: int) -> dict[str, Any]:
    return {
        "b": row.batch_id,
        "r": row.row,
        "state": change.state.value,
        "due_at": now + change.due_in_ms,
        "counted": change.counted,
        "unknowns": change.unknowns,
        "d_key": int(change.new_key),
        "d_images": 0 if change.surplus else len(ending.images),
        "d_charged": change.charged_nano or 0,
        "d_possible": change.money.possible,
        "error_kind": ending.error_kind if change.shows_error else row.error_kind,
        "error_message": ending.error_message if change.shows_error else row.error_message,
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


def _set(table: Table, *names: str) -> dict[str, Any]:
    return {name: bindparam(name, type_=table.c[name].type) for name in names}


# The guards of these statements are settlement's locks and reads, in the same transaction.
_END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == bindparam("a"))
    .values(
        **_set(attempts, "outcome", "ended_at", "http_status", "request_id", "error_kind", "error_message"),
        **_set(attempts, "usage", "text_in", "image_in", "text_out", "image_out", "facts", "duration_ms"),
        **_set(attempts, "charged_nano", "possible_nano", "priced_by", "price_book"),
    )
)

_MOVE_JOB = (
    update(jobs)
    .where(jobs.c.batch_id == bindparam("b"), jobs.c.row == bindparam("r"))
    .values(
        **_set(jobs, "state", "due_at", "counted", "unknowns", "error_kind", "error_message"),
        key_number=jobs.c.key_number + bindparam("d_key"),
        images=jobs.c.images + bindparam("d_images"),
        charged_nano=jobs.c.charged_nano + bindparam("d_charged"),
        possible_nano=jobs.c.possible_nano + bindparam("d_possible"),
    )
)

_MOVE_MONEY = (
    update(budgets)
    .where(budgets.c.scope == "batch", budgets.c.key == bindparam("b"))
    .values(
        reserved_nano=budgets.c.reserved_nano + bindparam("d_reserved"),
        possible_nano=budgets.c.possible_nano + bindparam("d_possible"),
        confirmed_nano=budgets.c.confirmed_nano + bindparam("d_confirmed"),
    )
)
