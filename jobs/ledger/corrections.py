"""Corrections: the provider's books name another amount than we charged, and the books win, only by adding.

An attempt's charges then come to what was billed; budgets, tallies and its job move by the difference. What an
attempt was, succeeded or errored, stays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from jobs.ledger import clock, funds
from jobs.ledger.engine import AnyRow
from jobs.ledger.resolving import lock_batches
from jobs.ledger.schema import ALL_TAGS, attempt_tallies, attempts, charge_tallies, charges, jobs, tag_tallies
from jobs.ledger.sets import upsert_adding
from jobs.money import Meter
from jobs.states import Outcome


def correct(tx: Connection, amounts: Mapping[str, int]) -> dict[str, int]:
    """Make the charges of these settled attempts come to these nano-dollars; returns {attempt: what was added}.
    Attempts in doubt or in flight, and those that agree, are passed over."""
    lock_batches(tx, list(amounts))
    rows = [row for row in _settled(tx, list(amounts)) if _differs(row, amounts[row.id])]
    now = clock.now(tx)
    moves: dict[tuple[str, str, int], list[int]] = {}
    for row in rows:
        sums = moves.setdefault((row.batch_id, clock.utc_day(row.admitted_at), row.tag_set), [0, 0, 0])
        sums[1] -= row.possible_nano
        sums[2] += amounts[row.id] - (row.charged_nano or 0)
    if rows:
        funds.move(tx, moves)
        for row in rows:
            _post(tx, row, amounts[row.id], now)
    return {row.id: amounts[row.id] - (row.charged_nano or 0) for row in rows}


def _settled(tx: Connection, attempt_ids: Sequence[str]) -> Sequence[AnyRow]:
    """The attempts with the sum and the number of their charges so far."""
    mine = select(
        charges.c.attempt_id,
        func.sum(func.coalesce(charges.c.amount_nano, 0)).label("posted_nano"),
        func.max(charges.c.correction).label("corrections"),
    ).where(charges.c.attempt_id.in_(attempt_ids))
    posted = mine.group_by(charges.c.attempt_id).subquery()
    statement = (
        select(attempts, jobs.c.tag_set, posted.c.posted_nano, posted.c.corrections)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .outerjoin(posted, posted.c.attempt_id == attempts.c.id)
        .where(
            attempts.c.id.in_(attempt_ids), attempts.c.outcome.is_not(None), attempts.c.outcome != Outcome.UNKNOWN
        )
        .order_by(attempts.c.batch_id, attempts.c.row, attempts.c.number)
    )
    return tx.execute(statement).all()


def _differs(row: AnyRow, amount_nano: int) -> bool:
    return (row.charged_nano or 0, row.possible_nano) != (amount_nano, 0)


def _post(tx: Connection, row: AnyRow, amount_nano: int, now: int) -> None:
    added = amount_nano - (row.charged_nano or 0)
    missing = amount_nano - int(row.posted_nano or 0)
    tx.execute(insert(charges).values(**_charge(row, missing, now)))
    tx.execute(_CORRECT_ATTEMPT, {"a": row.id, "charged": amount_nano})
    tx.execute(_CORRECT_JOB, {"b": row.batch_id, "r": row.row, "added": added, "freed": row.possible_nano})
    where = {"batch_id": row.batch_id, "model": row.model, "tag_set": ALL_TAGS, "outcome": row.outcome}
    unpriced = int(row.priced_by is not None and row.charged_nano is None)
    ended, sums = clock.utc_day(row.ended_at), {"attempts": 0, "images": 0, "charged_nano": added}
    sums |= {"possible_nano": -row.possible_nano, "unpriced": -unpriced}
    upsert_adding(tx, attempt_tallies, [where | {"day": ended} | sums])
    upsert_adding(tx, tag_tallies, [{"batch_id": row.batch_id, "day": ended, "tag_set": row.tag_set} | sums])
    charged = {"meter": Meter.STATED.value, "charges": 1, "quantity": 0, "amount_nano": missing, "unpriced": 0}
    upsert_adding(tx, charge_tallies, [where | {"day": clock.utc_day(now)} | charged])


def _charge(row: AnyRow, amount_nano: int, now: int) -> dict[str, Any]:
    return {
        "attempt_id": row.id,
        "meter": Meter.STATED.value,
        "correction": (row.corrections or 0) + 1,
        "quantity": 0,
        "unit": "image",
        "amount_nano": amount_nano,
        "price_book": "books",
        "basis": "stated",
        "charged_at": now,
    }


_CORRECT_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == bindparam("a"))
    .values(charged_nano=bindparam("charged"), possible_nano=0)
)

_CORRECT_JOB = (
    update(jobs)
    .where(jobs.c.batch_id == bindparam("b"), jobs.c.row == bindparam("r"))
    .values(
        charged_nano=jobs.c.charged_nano + bindparam("added"),
        possible_nano=jobs.c.possible_nano - bindparam("freed"),
    )
)
