"""Amounts: one rounding per charge, exact shares, exact words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.catalogue.prices import Meter, Rate
from jobs.errors import UsageError
from jobs.money import Charge, Cost, dollars, parse_dollars, split

NANO = st.integers(0, 2**62)


def charge(quantity: int, rate: int) -> int | None:
    return Charge.at(Rate(rate, Meter.TEXT_IN, "1M tokens", "key", False), Meter.TEXT_IN, quantity).amount_nano


@pytest.mark.parametrize(
    ("quantity", "rate", "amount"),
    [
        (1, 499_999, 0),
        (1, 500_000, 0),
        (1, 500_001, 1),
        (3, 500_000, 2),
        (5, 500_000, 2),
        (15, 5_000_000_000, 75_000),
    ],
)
def test_a_charge_is_rounded_once_half_to_even(quantity: int, rate: int, amount: int) -> None:
    assert charge(quantity, rate) == amount


def test_a_meter_without_a_price_makes_the_whole_cost_unknown() -> None:
    known = Charge.at(Rate(10**9, Meter.TEXT_IN, "1M tokens", "key", False), Meter.TEXT_IN, 5)
    cost = Cost.of([known, Charge.at(None, Meter.TEXT_OUT, 3)], "usage")
    assert cost.total_nano is None
    assert cost.priced_by == "none"
    assert cost.charges[0].amount_nano == 5_000


@pytest.mark.parametrize(
    ("total", "parts", "shares"),
    [
        (115_000, 3, (38_334, 38_333, 38_333)),
        (169_035_000, 4, (42_258_750,) * 4),
        (0, 2, (0, 0)),
        (2, 3, (1, 1, 0)),
    ],
)
def test_left_over_nano_dollars_go_to_the_first_shares(total: int, parts: int, shares: tuple[int, ...]) -> None:
    assert split(total, parts) == shares


@given(NANO, st.integers(1, 50))
def test_shares_always_add_up(total: int, parts: int) -> None:
    assert sum(split(total, parts)) == total


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (115_000, "0.000115"),
        (166_475_000, "0.166475"),
        (57_500, "0.0000575"),
        (41_460_000, "0.04146"),
        (500_000_000, "0.50"),
        (0, "0.00"),
        (12 * 10**9, "12.00"),
        (1, "0.000000001"),
        (-500_000_000, "-0.50"),
        (10**30, "1" + "0" * 21 + ".00"),
    ],
)
def test_dollars_are_exact_with_at_least_cents(nano: int, text: str) -> None:
    assert dollars(nano) == text


def test_dollars_to_fixed_places_round_half_to_even() -> None:
    assert dollars(125_000_000, 2) == "0.12"
    assert dollars(135_000_000, 2) == "0.14"
    assert dollars(166_475_000, 4) == "0.1665"


@given(NANO)
def test_dollars_are_read_back_to_the_nano_dollar(nano: int) -> None:
    assert parse_dollars(dollars(nano)) == nano


@pytest.mark.parametrize(("text", "nano"), [("12.50", 12_500_000_000), ("$5", 5 * 10**9), (" 0.000115 ", 115_000)])
def test_dollar_amounts_are_read_exactly(text: str, nano: int) -> None:
    assert parse_dollars(text) == nano


@pytest.mark.parametrize("text", ["", "five", "12,50", "-1", "NaN", "Infinity", "0.0000000001", "1e30", "$$5"])
def test_what_is_no_dollar_amount_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_dollars(text)
    assert repr(text) in str(caught.value)
