"""Budgets as a table, as JSON and in words: what `imagemill budget` says."""

from collections.abc import Sequence
from typing import Any

from jobs.ledger.budgets import Budget
from jobs.money import dollars
from jobs.report.table import Column, Table
from jobs.report.words import usd

_SUMS = ("cap", "confirmed", "possible", "reserved", "room")


def budgets_table(found: Sequence[Budget]) -> Table:
    columns = (Column("scope"), Column("key"), *(Column(name, number=True) for name in _SUMS), Column("state"))
    rows = [[one.scope.value, one.key, *map(usd, _amounts(one)), "full" if is_full(one) else ""] for one in found]
    return Table(columns, rows, styles={"full": "red"})


def budget_json(one: Budget) -> dict[str, Any]:
    exact = {f"{name}_nanodollars": nano for name, nano in zip(_SUMS, _amounts(one), strict=True)}
    worded = {f"{name}_dollars": dollars(nano) for name, nano in zip(_SUMS, _amounts(one), strict=True)}
    return {"scope": one.scope.value, "key": one.key, **exact, **worded, "full": is_full(one)}


def budget_words(one: Budget) -> str:
    """ "day 2026-11-22: $3.10 confirmed + $6.50 possible + $0.40 reserved of $80.00"."""
    cap, confirmed, possible, reserved, _ = map(usd, _amounts(one))
    return f"{one.name}: {confirmed} confirmed + {possible} possible + {reserved} reserved of {cap}"


def is_full(one: Budget) -> bool:
    """Whether not a nano-dollar is left. A call may find one full before: it needs room for its ceiling."""
    return one.room_nano is not None and one.room_nano <= 0


def _amounts(one: Budget) -> tuple[int, ...]:
    return one.cap_nano or 0, one.confirmed_nano, one.possible_nano, one.reserved_nano, one.room_nano or 0
