"""Rivals for a budget: claimers that admit, and settle at once with one of many endings, until no money is left."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from jobs.ids import new_attempt_id
from jobs.ledger import schema
from jobs.ledger.admission import Admitted
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.money import Cost
from tests.integration.ledgers import (
    ask,
    at_once,
    book,
    errored,
    image_lost,
    not_sent,
    succeeded,
    throttled,
    unknown,
)
from tests.races.claims import Heart, register


@dataclass(frozen=True, slots=True)
class Spent:
    """What one rival did in one round, in nano-dollars."""

    billed: int
    """What an endpoint could have billed for its calls: the price of an answer, the ceiling of a doubt."""
    doubts: int
    most_used: int
    """The fullest that it saw the budget."""
    last_wait: str | None


def spend(batches: Sequence[str], ledger: Ledger, meet: Callable[[], int]) -> list[Spent]:
    """One round for each batch; every rival begins it at the same moment."""
    draw, heart, spent = random.Random(new_attempt_id()), Heart(ledger, register(ledger)), []
    for batch_id in batches:
        meet()
        heart.beat()
        spent.append(_round(ledger, heart.worker_id, batch_id, draw))
    return spent


def _round(ledger: Ledger, worker_id: str, batch_id: str, draw: random.Random) -> Spent:
    billed = doubts = most_used = 0
    while True:
        admission = ask(ledger, batch_id, draw.randint(1, 3), worker_id)
        most_used = max(most_used, used(ledger, batch_id))
        for one in admission.admitted:
            ending, price = _ending(one, draw)
            book(ledger, ending, retry=at_once)
            billed += price
            doubts += ending.outcome == "unknown"
        if not admission.admitted:
            return Spent(billed, doubts, most_used, admission.wait.reason if admission.wait else None)


def _ending(one: Admitted, draw: random.Random) -> tuple[Ending, int]:
    """How the call ends, and what it may cost."""
    make: Any = draw.choice([succeeded, succeeded, image_lost, unknown, unknown, throttled, errored, not_sent])
    if make in (succeeded, image_lost):
        price = draw.randint(1, one.ceiling_nano)
        return replace(make(one.attempt_id), cost=Cost.stated(price)), price
    return make(one.attempt_id), one.ceiling_nano if make is unknown else 0


def used(ledger: Ledger, batch_id: str) -> int:
    """Confirmed, possible and reserved of the batch's budget, by one look."""
    table = schema.budgets
    sums = table.c.confirmed_nano + table.c.possible_nano + table.c.reserved_nano
    with ledger.read() as tx:
        statement = select(sums).where(table.c.scope == "batch", table.c.key == batch_id)
        return int(tx.execute(statement).scalar_one())
