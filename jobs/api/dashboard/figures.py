"""Figures as pages draw them: shares of a bar, causes of trouble. The numbers are the ledger's."""

from dataclasses import dataclass

from jobs.ledger.browsing import NO_CAUSE
from jobs.ledger.budgets import Budget
from jobs.ledger.figures import Standing, causes, job_message
from jobs.ledger.overview import Transaction
from jobs.report.causes import advice

WHOLE = 1000
"""Units of a bar's length."""
STATES = ("succeeded", "failed", "refused", "held", "cancelled", "running", "queued")


@dataclass(frozen=True, slots=True)
class Share:
    """A piece of a bar: its name, the number that it stands for, and where it lies on a length of WHOLE."""

    name: str
    number: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Jobs that ended for one reason, with an example of them and what to do."""

    state: str
    kind: str
    jobs: int
    possible_nano: int
    row: int
    custom_id: str
    message: str
    advice: str


def shares(stands: Standing) -> list[Share]:
    """Jobs by state, as pieces of a progress bar."""
    return pieces([(state, stands.jobs[state]) for state in STATES])


def money_shares(cap_nano: int | None, confirmed_nano: int, possible_nano: int, reserved_nano: int) -> list[Share]:
    """What is used of a budget; more than the whole where the cap was lowered."""
    used = [("confirmed", confirmed_nano), ("possible", possible_nano), ("reserved", reserved_nano)]
    return pieces(used, cap_nano)


def budget_shares(one: Budget) -> list[Share]:
    return money_shares(one.cap_nano, one.confirmed_nano, one.possible_nano, one.reserved_nano)


def pieces(numbers: list[tuple[str, int]], whole: int | None = None) -> list[Share]:
    """Side by side, each at least a hair wide where there is anything of it."""
    total = max(whole or 0, sum(number for _, number in numbers))
    found, start = [], 0
    for name, number in numbers:
        if number > 0 and total:
            length = max(2, round(WHOLE * number / total))
            found.append(Share(name, number, start, min(length, WHOLE - start)))
            start = min(WHOLE, start + length)
    return found


def read_causes(tx: Transaction, batch_id: str) -> list[Cause]:
    """Why jobs failed, were refused or are held, the commonest first."""
    found = []
    for row in causes(tx, batch_id):
        custom_id, message = job_message(tx, batch_id, row.row)
        told = advice(batch_id, row.state, row.error_kind)
        kind, possible = row.error_kind or NO_CAUSE, int(row.possible_nano or 0)
        found.append(Cause(row.state, kind, row.jobs, possible, row.row, custom_id, message or "", told))
    return found
