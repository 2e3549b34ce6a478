"""Fair shares: the smallest count in flight becomes as large as it can, and turns go round."""

from hypothesis import given
from hypothesis import strategies as st

from worker.shares import Turns, fair_shares


def test_slots_are_divided_evenly_among_equals_and_the_rest_goes_to_the_first() -> None:
    assert fair_shares(9, [0, 0, 0]) == [3, 3, 3]
    assert fair_shares(8, [5, 5, 5]) == [3, 3, 2]
    assert fair_shares(1, [4, 4]) == [1, 0]


def test_who_has_fewer_in_flight_is_filled_up_first() -> None:
    assert fair_shares(10, [100, 0]) == [0, 10]
    assert fair_shares(10, [6, 0]) == [2, 8]
    assert fair_shares(3, [7, 1, 2]) == [0, 2, 1]


def test_without_anybody_or_anything_there_is_nothing_to_share() -> None:
    assert fair_shares(5, []) == []
    assert fair_shares(0, [1, 2]) == [0, 0]


@given(free=st.integers(0, 200), counts=st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_all_slots_are_shared_and_nobody_is_filled_above_another_who_could_be(free: int, counts: list[int]) -> None:
    shares = fair_shares(free, counts)
    assert sum(shares) == free
    assert min(shares) >= 0
    filled = [count + share for count, share in zip(counts, shares, strict=True)]
    assert all(total <= min(filled) + 1 for total, share in zip(filled, shares, strict=True) if share)


def test_turns_go_round_and_a_newcomer_is_first() -> None:
    turns = Turns()
    for name in "abc":
        turns.served(name)
    assert turns.order(["c", "b", "a"]) == ["a", "b", "c"]
    turns.served("a")
    assert turns.order(["a", "b", "c", "new"]) == ["new", "b", "c", "a"]
    turns.keep(["b"])
    assert turns.order(["b", "a"]) == ["a", "b"]
