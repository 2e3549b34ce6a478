"""The kill run's own judgement: it sees a lost row, a silent double payment and a difference, and forgives what was
allowed."""

from pathlib import Path
from typing import Any

import pytest

from tests.books import Snapshot
from tests.torture.schedule import schedule
from tests.torture.supply import Lot
from tests.torture.verdict import differences, extra_paid, judge

BILLED = {"a1": 100, "a2": 100}


def lot(retry_unknown: int = 0, retries: int = 0) -> Lot:
    return Lot(Path("lot-0000.jsonl"), 1, None, retry_unknown, batch="b", retries=retries)


def attempt(number: int, outcome: str, admitted_at: int, ended_at: int, charged: int = 0) -> dict[str, Any]:
    return {
        "id": f"a{number}",
        "batch_id": "b",
        "row": 1,
        "number": number,
        "worker_id": f"w{number}",
        "outcome": outcome,
        "admitted_at": admitted_at,
        "ended_at": ended_at,
        "charged_nano": charged,
        "possible_nano": 100 if outcome == "unknown" else 0,
        "error_kind": None,
        "error_message": None,
    }


def ledger(*attempts: dict[str, Any], swept_at: int | None = None, state: str = "succeeded") -> Snapshot:
    empty: dict[str, list[Any]] = {name: [] for name in Snapshot.__dataclass_fields__}
    workers = [{"id": "w1", "ended_at": swept_at}, {"id": "w2", "ended_at": None}]
    jobs = [{"batch_id": "b", "row": 1, "state": state}]
    return Snapshot(**(empty | {"jobs": jobs, "attempts": list(attempts), "workers": workers}))


def journal(**amounts: int) -> list[dict[str, Any]]:
    return [
        {"kind": "call", "attempt_id": one, "amount_nanodollars": amount, "fault": None}
        for one, amount in amounts.items()
    ]


DONE_TWICE = (attempt(1, "succeeded", 0, 10, 100), attempt(2, "succeeded", 20, 30, 100))
DOUBT_THEN_DONE = (attempt(1, "unknown", 0, 10), attempt(2, "succeeded", 20, 30, 100))
LATE_THEN_DONE = (attempt(1, "succeeded", 0, 50, 100), attempt(2, "succeeded", 20, 30, 100))
BOTH_AT_ONCE = (attempt(1, "succeeded", 0, 25, 100), attempt(2, "succeeded", 20, 30, 100))


@pytest.mark.parametrize(
    ("attempts", "terms", "swept_at", "extra"),
    [
        (DONE_TWICE, lot(retry_unknown=2), None, 1),
        (DOUBT_THEN_DONE, lot(retry_unknown=0), 10, 1),
        (DOUBT_THEN_DONE, lot(retry_unknown=1), 10, 0),
        (DOUBT_THEN_DONE, lot(retries=1), 10, 0),
        (LATE_THEN_DONE, lot(retry_unknown=1), 10, 0),
        (BOTH_AT_ONCE, lot(retry_unknown=1), None, 1),
    ],
)
def test_a_second_paid_call_is_extra_unless_a_doubt_and_its_policy_allowed_it(
    attempts: tuple[dict[str, Any], ...], terms: Lot, swept_at: int | None, extra: int
) -> None:
    assert len(list(extra_paid(ledger(*attempts, swept_at=swept_at), BILLED, [terms]))) == extra


def test_rows_lost_calls_not_written_and_the_difference_to_the_books_are_counted() -> None:
    found = judge(ledger(DONE_TWICE[0], state="queued"), journal(a1=100, a9=7), [lot()])
    assert (found.rows_lost, found.calls_not_written, found.difference) == (1, 1, 7)


def test_a_doubt_explains_what_was_billed_and_a_wrong_charge_is_named() -> None:
    assert judge(ledger(DOUBT_THEN_DONE[0]), journal(a1=60), [lot()]).difference == 0
    assert [one.split()[1] for one in differences(ledger(DONE_TWICE[0]), journal(a1=99))] == ["a1"]


def test_one_seed_is_one_schedule() -> None:
    assert schedule(7, 60, servers=True) == schedule(7, 60, servers=True)
    assert schedule(7, 60, servers=True) != schedule(8, 60, servers=True)
