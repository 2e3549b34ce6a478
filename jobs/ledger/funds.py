"""Spending from budgets: what one admission may reserve, and what settlements move. Both lock the rows first.

Everything that may be spent twice at once is decided under these locks, and once more by the statement that
reserves: it changes no row whose cap it would pass.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, or_, update

from jobs.errors import LedgerError
from jobs.ledger import clock
from jobs.ledger.budgets import Budget, begin_periods, lock, tags_of
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import budgets

Moves = Mapping[tuple[str, str, int], Sequence[int]]
"""{(batch, UTC day of the admission, tag set): nano-dollars by which reserved, possible and confirmed change}"""


class Funds:
    """The locked budgets of one admission, and what it takes of them. `now` is its moment by the ledger's clock,
    which decides to which day it belongs."""

    def __init__(self, tx: Connection, batch_id: str, now: int, held: Sequence[Budget]) -> None:
        self.now = now
        self._tx = tx
        self._batch_id = batch_id
        self._held = held
        self._taken = dict.fromkeys(held, 0)
        self._covering: dict[int, list[Budget]] = {}

    def fund(self, rows: Sequence[AnyRow]) -> tuple[Sequence[AnyRow], Budget | None]:
        """Take the ceilings of as many of the jobs, in order, as all their budgets hold. Returns these jobs, and
        the budget that did not hold the next one."""
        self._learn_tags({row.tag_set for row in rows})
        for place, row in enumerate(rows):
            for budget in self._covering[row.tag_set]:
                if not budget.holds(self._taken[budget] + row.ceiling_nano):
                    return rows[:place], budget
            self._take(row, row.ceiling_nano)
        return rows, None

    def give_back(self, rows: Sequence[AnyRow]) -> None:
        """These jobs are not admitted after all."""
        for row in rows:
            self._take(row, -row.ceiling_nano)

    def may_be_freed(self, budget: Budget) -> bool:
        """Whether calls in flight, the ones of this admission included, may yet free some of the budget."""
        return budget.reserved_nano + self._taken[budget] > 0

    def reserve(self) -> None:
        """Write what was taken. Raises LedgerError rather than pass a cap."""
        for budget, nano in self._taken.items():
            key = {"b_scope": budget.scope, "b_key": budget.key, "nano": nano}
            if nano and not self._tx.execute(_RESERVE, key).rowcount:
                raise LedgerError(f"the budget {budget.name} does not hold {nano} nano-dollars more")

    def _take(self, row: AnyRow, nano: int) -> None:
        for budget in self._covering[row.tag_set]:
            self._taken[budget] += nano

    def _learn_tags(self, sets: set[int]) -> None:
        new = sets - self._covering.keys()
        tags, day = tags_of(self._tx, new, self._held), clock.utc_day(self.now)
        for one in new:
            self._covering[one] = [
                budget for budget in self._held if budget.covers(self._batch_id, day, tags.get(one, ""))
            ]


def hold(tx: Connection, batch_id: str) -> Funds:
    """Lock the budgets that an admission of the batch has to respect, until it commits."""
    now = clock.now(tx)
    day = clock.utc_day(now)
    begin_periods(tx, day)
    return Funds(tx, batch_id, now, lock(tx, [batch_id], [day]))


def move(tx: Connection, moves: Moves) -> None:
    """Change the sums of every budget that covers what was settled."""
    held = lock(tx, {batch for batch, _, _ in moves}, {day for _, day, _ in moves})
    tags = tags_of(tx, {tag_set for _, _, tag_set in moves}, held)
    changes = []
    for budget in held:
        covered = [
            sums for (batch, day, one), sums in moves.items() if budget.covers(batch, day, tags.get(one, ""))
        ]
        reserved, possible, confirmed = map(sum, zip((0, 0, 0), *covered, strict=True))
        if reserved or possible or confirmed:
            key = {"b_scope": budget.scope, "b_key": budget.key}
            changes.append(key | {"d_reserved": reserved, "d_possible": possible, "d_confirmed": confirmed})
    if changes:
        tx.execute(_MOVE, changes)


_MINE = (budgets.c.scope == bindparam("b_scope"), budgets.c.key == bindparam("b_key"))
_USED = budgets.c.confirmed_nano + budgets.c.possible_nano + budgets.c.reserved_nano

_RESERVE = (
    update(budgets)
    .where(*_MINE, or_(budgets.c.cap_nano.is_(None), _USED + bindparam("nano") <= budgets.c.cap_nano))
    .values(reserved_nano=budgets.c.reserved_nano + bindparam("nano"))
)

_MOVE = (
    update(budgets)
    .where(*_MINE)
    .values(
        reserved_nano=budgets.c.reserved_nano + bindparam("d_reserved"),
        possible_nano=budgets.c.possible_nano + bindparam("d_possible"),
        confirmed_nano=budgets.c.confirmed_nano + bindparam("d_confirmed"),
    )
)
