"""Budgets: which there are, what they cover, and the caps that people set. `funds.py` spends from them.

A call is admitted only if every budget that covers it holds its ceiling price: overall, that of its month, of its
day, of each of its tags, and its batch's. A batch always has a row; of the others there are those to which a person
gave a cap. A row, once it is there, keeps the exact sums of all attempts it covers. An attempt belongs to the UTC
day of its admission for good, so that what was reserved is freed in the same row.
"""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from jobs.ledger import clock
from jobs.ledger.engine import AnyRow
from jobs.ledger.intake import tags_text
from jobs.ledger.schema import attempts, batches, budgets, jobs, tag_sets
from jobs.states import BatchState, Outcome

EVERY = "*"
"""Key of the row that holds the cap of every month or every day. It keeps no sums."""


class Scope(StrEnum):
    OVERALL = "overall"
    MONTH = "month"
    DAY = "day"
    TAG = "tag"
    BATCH = "batch"


PERIODS = (Scope.MONTH, Scope.DAY)


@dataclass(frozen=True, slots=True)
class Budget:
    """A row: its cap, None where there is none, and its sums in nano-dollars. `key` as in the table."""

    scope: Scope
    key: str
    cap_nano: int | None
    confirmed_nano: int = 0
    possible_nano: int = 0
    reserved_nano: int = 0

    @property
    def name(self) -> str:
        """ "day 2026-11-22", "tag brand=acme", "overall"."""
        return f"{self.scope} {self.key}".strip()

    @property
    def argument(self) -> str:
        """How a command line names it."""
        match self.scope:
            case Scope.TAG:
                return shlex.quote(f"tag:{self.key}")
            case Scope.BATCH:
                return self.key
            case _:
                return self.scope.value

    @property
    def room_nano(self) -> int | None:
        """What may still be reserved; negative where the cap was lowered below what is used. None: no cap."""
        if self.cap_nano is None:
            return None
        return self.cap_nano - self.confirmed_nano - self.possible_nano - self.reserved_nano

    def holds(self, nano: int) -> bool:
        return self.room_nano is None or nano <= self.room_nano

    def covers(self, batch_id: str, day: str, tags: str) -> bool:
        """Whether an attempt counts here: of this batch, admitted on this UTC day, its job's tags as `tag_sets`
        has them."""
        match self.scope:
            case Scope.OVERALL:
                return True
            case Scope.MONTH | Scope.DAY:
                return day.startswith(self.key)
            case Scope.TAG:
                return any(mark in tags for mark in _marks(self.key))
            case Scope.BATCH:
                return self.key == batch_id


def today(tx: Connection) -> str:
    return clock.utc_day(clock.now(tx))


def lock(tx: Connection, batch_ids: Collection[str], days: Collection[str]) -> list[Budget]:
    """The rows that can cover attempts of these batches, admitted on these days, locked in one order."""
    return [_budget(row) for row in tx.execute(_LOCK_IN_FORCE, _of(batch_ids, days))]


def read(tx: Connection, batch_ids: Collection[str]) -> list[Budget]:
    """The budgets that the next admission of any of the batches will meet: for telling, not for deciding."""
    day = today(tx)
    return [*map(_budget, tx.execute(_IN_FORCE, _of(batch_ids, [day]))), *_missing_periods(tx, day)]


def read_budget(tx: Connection, scope: Scope, key: str) -> Budget | None:
    """The budget if it has a cap; of months and days the present one, whatever the key."""
    of_now = {one.scope: one for one in read(tx, []) if one.scope in PERIODS}
    mine = (budgets.c.scope == scope, budgets.c.key == key, budgets.c.cap_nano.is_not(None))
    row = tx.execute(select(budgets).where(*mine)).one_or_none()
    return of_now.get(scope) or (_budget(row) if row else None)


def list_budgets(tx: Connection) -> list[Budget]:
    """Every cap in force, from the widest to the narrowest; of batches those that may still spend."""
    live = select(batches.c.id).where(batches.c.state.in_([BatchState.OPEN, BatchState.PAUSED]))
    theirs = (budgets.c.scope == Scope.BATCH) & budgets.c.key.in_(live) & budgets.c.cap_nano.is_not(None)
    found = [*read(tx, []), *map(_budget, tx.execute(select(budgets).where(theirs)))]
    return sorted(found, key=lambda one: (list(Scope).index(one.scope), one.key))


def tags_of(tx: Connection, sets: Collection[int], held: Sequence[Budget]) -> dict[int, str]:
    """The tags of these sets, as the ledger has them; not read unless a budget asks for tags."""
    if not any(one.scope is Scope.TAG for one in held):
        return {}
    statement = select(tag_sets.c.id, tag_sets.c.tags).where(tag_sets.c.id.in_(sorted(sets)))
    return {row.id: row.tags for row in tx.execute(statement)}


def tagged(key: str) -> ColumnElement[bool]:
    """Whether a row of `tag_sets` has the tag KEY=VALUE. Not LIKE: on SQLite it takes "acme" for "ACME"."""
    return or_(*(func.replace(tag_sets.c.tags, mark, "") != tag_sets.c.tags for mark in _marks(key)))


def set_cap(tx: Connection, scope: Scope, key: str, cap_nano: int | None) -> None:
    """Give a budget its cap, or none. A month's or day's holds from now on for each, and `key` is not looked at.

    A new row counts what it covers while nobody else moves money; admissions and settlements wait meanwhile.
    """
    if scope is Scope.BATCH:
        mine = (budgets.c.scope == Scope.BATCH, budgets.c.key == key)
        tx.execute(update(budgets).where(*mine).values(cap_nano=cap_nano))
        return
    _keep_others_out(tx)
    if cap_nano is None:
        whole = budgets.c.scope == scope
        tx.execute(delete(budgets).where(whole if scope in PERIODS else whole & (budgets.c.key == key)))
        return
    for one in (EVERY, period(scope, today(tx))) if scope in PERIODS else (key,):
        _put(tx, scope, one, cap_nano)


def begin_periods(tx: Connection, day: str) -> None:
    """Make the rows of this day and its month, where their scope has a cap. Call it before any row is locked:
    it may have to keep everybody else out, once a day."""
    if not _missing_periods(tx, day):
        return
    _keep_others_out(tx)
    for new in _missing_periods(tx, day):
        _put(tx, new.scope, new.key, new.cap_nano)


def unknown_attempts(tx: Connection, budget: Budget) -> int:
    """How many unknown attempts its possible money comes from."""
    found = _covered(select(func.count()).select_from(attempts), budget.scope, budget.key)
    return int(tx.execute(found.where(attempts.c.outcome == Outcome.UNKNOWN)).scalar_one())


def period(scope: Scope, day: str) -> str:
    """The key of the month or day that a UTC day belongs to."""
    return day[:7] if scope is Scope.MONTH else day


def _missing_periods(tx: Connection, day: str) -> list[Budget]:
    """The month and the day that have a cap and no row yet: the first admission makes it."""
    scopes = {scope: period(scope, day) for scope in PERIODS}
    caps = {
        (row.scope, row.key): row.cap_nano for row in tx.execute(_PERIOD_CAPS, {"keys": [EVERY, *scopes.values()]})
    }
    return [
        Budget(scope, key, caps[scope, EVERY])
        for scope, key in scopes.items()
        if (scope, EVERY) in caps and (scope, key) not in caps
    ]


def _keep_others_out(tx: Connection) -> None:
    """Wait for admissions and settlements that have touched a budget, and hold up the others: what they move is
    then either counted here, or added to the row that is made here. SQLite has one writer at a time anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(text("LOCK TABLE budgets IN EXCLUSIVE MODE"))


def _put(tx: Connection, scope: Scope, key: str, cap_nano: int | None) -> None:
    """Set the row's cap, or make the row with its sums. The caller keeps everybody else out."""
    mine = (budgets.c.scope == scope, budgets.c.key == key)
    if tx.execute(update(budgets).where(*mine).values(cap_nano=cap_nano)).rowcount:
        return
    sums = {} if key == EVERY else _count(tx, scope, key)
    tx.execute(insert(budgets).values(scope=scope, key=key, cap_nano=cap_nano, **sums))


def _count(tx: Connection, scope: Scope, key: str) -> dict[str, int]:
    """The sums over all attempts that the budget covers."""
    sums = {
        "confirmed_nano": attempts.c.charged_nano,
        "possible_nano": attempts.c.possible_nano,
        "reserved_nano": case((attempts.c.outcome.is_(None), attempts.c.ceiling_nano)),
    }
    columns = [func.coalesce(func.sum(what), 0).label(name) for name, what in sums.items()]
    row = tx.execute(_covered(select(*columns).select_from(attempts), scope, key)).one()
    return {name: int(getattr(row, name)) for name in sums}


def _covered(statement: Select[Any], scope: Scope, key: str) -> Select[Any]:
    """The statement over attempts, for those that the budget covers."""
    match scope:
        case Scope.OVERALL:
            return statement
        case Scope.BATCH:
            return statement.where(attempts.c.batch_id == key)
        case Scope.MONTH | Scope.DAY:
            first, last = _span(key)
            return statement.where(attempts.c.admitted_at >= first, attempts.c.admitted_at < last)
        case Scope.TAG:
            theirs = (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row)
            return statement.join(jobs, theirs).join(tag_sets, tag_sets.c.id == jobs.c.tag_set).where(tagged(key))


def _span(key: str) -> tuple[int, int]:
    """First millisecond of a day or month, and the first after it."""
    first = date.fromisoformat(key if len(key) > 7 else f"{key}-01")
    last = first + timedelta(days=1) if len(key) > 7 else (first + timedelta(days=32)).replace(day=1)
    return _midnight_ms(first), _midnight_ms(last)


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _marks(key: str) -> tuple[str, str]:
    """How the tag KEY=VALUE stands in the JSON of a tag set, as its first and as a later one. A quote inside of a
    text is escaped there, so that no other tags can look like it."""
    name, _, value = key.partition("=")
    pair = tags_text({name: value})[1:-1]
    return f"{{{pair}", f",{pair}"


def _of(batch_ids: Collection[str], days: Collection[str]) -> dict[str, list[str]]:
    return {"periods": sorted({*days, *(day[:7] for day in days)}), "batches": sorted(batch_ids)}


def _budget(row: AnyRow) -> Budget:
    sums = (row.confirmed_nano, row.possible_nano, row.reserved_nano)
    return Budget(Scope(row.scope), row.key, row.cap_nano, *sums)


# Built once: admission runs them every time.
_IN_FORCE = (
    select(budgets)
    .where(
        or_(
            budgets.c.scope.in_([Scope.OVERALL, Scope.TAG]),
            budgets.c.scope.in_(PERIODS) & budgets.c.key.in_(bindparam("periods", expanding=True)),
            (budgets.c.scope == Scope.BATCH) & budgets.c.key.in_(bindparam("batches", expanding=True)),
        )
    )
    .order_by(budgets.c.scope, budgets.c.key)
)
_LOCK_IN_FORCE = _IN_FORCE.with_for_update()
_PERIOD_CAPS = select(budgets.c.scope, budgets.c.key, budgets.c.cap_nano).where(
    budgets.c.scope.in_(PERIODS), budgets.c.key.in_(bindparam("keys", expanding=True))
)
