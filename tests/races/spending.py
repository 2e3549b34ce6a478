"""The race for a budget, whole: in each round 64 claimers want more than the cap holds, to the nano-dollar."""

from dataclasses import dataclass
from functools import partial

from jobs.ledger.engine import Ledger
from tests.integration.ledgers import ask, money, new_job, open_batch
from tests.races.caps import Spent, spend, used
from tests.races.ring import race

CLAIMERS = 64
CEILINGS = tuple(10**13 * size + 1 for size in (300, 1_000, 1_700, 170, 650))
"""Of a batch's jobs, in turn. Millions of dollars: a float would lose nano-dollars here."""
CAP = 2 * sum(CEILINGS)
"""Ten calls."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the rounds came to."""

    rounds: int
    doubts: int
    fullest: int
    """The most of any budget that anybody saw used, of CAP nano-dollars."""
    billed: int


def race_for_budgets(ledger: Ledger, rounds: int, processes: int = 2) -> Summary:
    """Raises AssertionError where a budget was passed, or where a claimer was stopped without the reason."""
    rows = [new_job(row, ceiling_nano=CEILINGS[row % len(CEILINGS)]) for row in range(1, 2 * CLAIMERS + 1)]
    batches = [open_batch(ledger, rows, budget=CAP + number % 3) for number in range(rounds)]
    told = race(ledger, [[partial(spend, batches)] * (CLAIMERS // processes)] * processes)
    for batch_id, spent in zip(batches, zip(*told, strict=True), strict=True):
        _judge(ledger, batch_id, spent)
    all_spent = [one for each in told for one in each]
    return Summary(
        rounds,
        doubts=sum(one.doubts for one in all_spent),
        fullest=max(one.most_used for one in all_spent),
        billed=sum(one.billed for one in all_spent),
    )


def _judge(ledger: Ledger, batch_id: str, spent: tuple[Spent, ...]) -> None:
    cap = CAP + 2
    assert max(one.most_used for one in spent) <= cap
    assert sum(one.billed for one in spent) == used(ledger, batch_id) <= cap
    assert {one.last_wait for one in spent} == {"budget"}
    confirmed, possible, reserved = money(ledger, batch_id)
    assert reserved == 0
    assert confirmed + possible > cap - max(CEILINGS) - 2, "there was room for another call"
    wait = ask(ledger, batch_id).wait
    assert wait is not None
    assert wait.reason == "budget"
