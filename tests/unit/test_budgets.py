"""What a budget covers and holds: pure rules over its row."""

from datetime import UTC, datetime

import pytest

from jobs.ledger.budgets import Budget, Scope, _span
from jobs.ledger.intake import tags_text

TAGS = tags_text({"brand": "acme", "season": "autumn"})


@pytest.mark.parametrize(
    ("scope", "key", "covered"),
    [
        ("overall", "", True),
        ("month", "2026-11", True),
        ("month", "2026-12", False),
        ("month", "*", False),
        ("day", "2026-11-22", True),
        ("day", "2026-11-02", False),
        ("day", "*", False),
        ("tag", "brand=acme", True),
        ("tag", "season=autumn", True),
        ("tag", "brand=autumn", False),
        ("tag", "brand=ac", False),
        ("tag", "rand=acme", False),
        ("batch", "b_1", True),
        ("batch", "b_11", False),
    ],
)
def test_a_budget_covers_its_own_attempts_only(scope: str, key: str, covered: bool) -> None:
    assert Budget(Scope(scope), key, 0).covers("b_1", "2026-11-22", TAGS) is covered


def test_a_budget_holds_what_is_left_of_its_cap_to_the_nano_dollar() -> None:
    budget = Budget(Scope.DAY, "2026-11-22", 100, confirmed_nano=31, possible_nano=20, reserved_nano=9)
    assert (budget.room_nano, budget.holds(40), budget.holds(41)) == (40, True, False)
    assert Budget(Scope.BATCH, "b_1", None, confirmed_nano=10**15).holds(10**15)


@pytest.mark.parametrize(
    ("key", "days"), [("2026-11-22", 1), ("2026-02", 28), ("2028-02", 29), ("2026-12", 31), ("2026-04", 30)]
)
def test_a_period_begins_at_utc_midnight_and_ends_before_the_next(key: str, days: int) -> None:
    first, last = _span(key)
    assert datetime.fromtimestamp(first / 1000, UTC) == datetime.fromisoformat(f"{key}-01"[:10] + "T00:00Z")
    assert last - first == days * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("scope", "key", "word"),
    [
        ("day", "2026-11-22", "day"),
        ("tag", "a=b c", "'tag:a=b c'"),
        ("batch", "b_1", "b_1"),
        ("overall", "", "overall"),
    ],
)
def test_a_budget_is_named_on_the_command_line_as_it_is_set(scope: str, key: str, word: str) -> None:
    assert Budget(Scope(scope), key, 0).argument == word
