"""Shares of a bar: side by side, whole, and visible where there is anything."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.api.dashboard.figures import WHOLE, money_shares, pieces

NUMBERS = st.lists(st.integers(0, 10**12), min_size=1, max_size=7)


@given(NUMBERS)
def test_pieces_lie_side_by_side_within_the_whole(numbers: list[int]) -> None:
    found = pieces([(str(place), number) for place, number in enumerate(numbers)])
    end = 0
    for piece in found:
        assert piece.start == end
        end = piece.start + piece.length
    assert end <= WHOLE
    assert [piece.number for piece in found] == [number for number in numbers if number]


def test_a_single_job_of_a_million_is_seen() -> None:
    found = pieces([("succeeded", 999_999), ("failed", 1)])
    assert found[0].length >= WHOLE - 2 and found[1].name == "failed"


def test_a_budget_that_is_half_used_is_half_full() -> None:
    (used,) = money_shares(1000, 500, 0, 0)
    assert (used.name, used.length) == ("confirmed", WHOLE // 2)


def test_more_than_the_cap_fills_the_bar_and_no_more() -> None:
    found = money_shares(100, 150, 50, 0)
    assert sum(piece.length for piece in found) == WHOLE
