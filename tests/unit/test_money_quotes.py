"""Ceilings hold for everything the published rules can bill; estimates lie in order."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.catalogue.matrix import find_model, matrix, parse_size
from jobs.catalogue.prices import Meter, PriceBook
from jobs.catalogue.tokens import formula_tokens
from jobs.money import Cost, Estimate, ceiling, estimate, price_answer
from jobs.money.quotes import expected_charges

DAY = date(2026, 11, 22)
BOOK = PriceBook.build()
TOKEN_MODELS = sorted(name for name, model in matrix().models.items() if model.token_rule)
SIZES = ("1024x1024", "1536x1024", "1024x1536")


def published_tokens(model: str, size: str, quality: str) -> int:
    known = find_model(model)
    assert known is not None
    assert known.token_rule is not None
    if known.token_rule.table:
        return known.token_rule.table[quality][size]
    width, height = parse_size(size) or (0, 0)
    return formula_tokens(known.token_rule.factors[quality], width, height)


@given(
    model=st.sampled_from([*sorted(matrix().models), "pixie"]),
    size=st.sampled_from([None, "auto", *SIZES]),
    quality=st.sampled_from([None, "auto", "low", "hd"]),
    n=st.integers(1, 10),
    prompt=st.text(max_size=60),
)
def test_an_estimate_says_what_ceiling_and_expected_charges_say(
    model: str, size: str | None, quality: str | None, n: int, prompt: str
) -> None:
    request = {"prompt": prompt, "model": model, "n": n, "size": size, "quality": quality}
    found, likely = estimate(BOOK, DAY, request), expected_charges(BOOK, DAY, request) or ()
    assert found.ceiling == ceiling(BOOK, DAY, request)
    assert found.tokens == sum(charge.quantity for charge in likely if charge.unit == "token")
    if likely and not (size in (None, "auto") or quality in (None, "auto")):
        assert found.expected == sum(charge.amount_nano or 0 for charge in likely)


@given(
    model=st.sampled_from(TOKEN_MODELS),
    size=st.sampled_from(SIZES),
    quality=st.sampled_from(["low", "medium", "high"]),
    n=st.integers(1, 10),
    partials=st.integers(0, 3),
    prompt=st.text(max_size=60),
    asks_size=st.booleans(),
    asks_quality=st.booleans(),
)
def test_what_the_rules_bill_never_exceeds_the_ceiling(
    model: str,
    size: str,
    quality: str,
    n: int,
    partials: int,
    prompt: str,
    asks_size: bool,
    asks_quality: bool,
) -> None:
    request: dict[str, Any] = {"prompt": prompt, "model": model, "n": n, "partial_images": partials}
    request |= {"size": size if asks_size else "auto", "quality": quality if asks_quality else "auto"}
    output = n * (published_tokens(model, size, quality) + 100 * partials)
    usage = {"input_tokens": len(prompt.encode()), "output_tokens": output}
    cost = price_answer(BOOK, DAY, request, usage, n)
    assert isinstance(cost, Cost)
    assert cost.total_nano is not None
    assert cost.total_nano <= (ceiling(BOOK, DAY, request) or 0)


def test_a_ceiling_covers_the_whole_call() -> None:
    asked = {"prompt": "ab", "model": "gpt-image-1", "size": "1024x1024", "quality": "high", "n": 4}
    assert ceiling(BOOK, DAY, asked) == 4 * 4160 * 40_000 + 66 * 5_000


def test_the_prompt_is_bounded_by_its_bytes() -> None:
    asked = {"model": "gpt-image-1", "size": "1024x1024", "quality": "high"}
    latin = ceiling(BOOK, DAY, asked | {"prompt": "a" * 23}) or 0
    chinese = ceiling(BOOK, DAY, asked | {"prompt": "红" * 23}) or 0
    assert chinese - latin == 2 * 23 * 5_000


def test_partial_images_are_in_the_ceiling() -> None:
    asked = {"prompt": "", "model": "gpt-image-1", "size": "1024x1024", "quality": "low", "n": 2}
    plain = ceiling(BOOK, DAY, asked) or 0
    assert (ceiling(BOOK, DAY, asked | {"stream": True, "partial_images": 3}) or 0) - plain == 2 * 300 * 40_000


def test_a_model_that_may_write_text_has_room_for_it() -> None:
    asked = {"prompt": "", "model": "gpt-image-1.5", "size": "1024x1024", "quality": "low"}
    assert ceiling(BOOK, DAY, asked) == (272 + 200) * 32_000 + 64 * 5_000


def test_text_output_dearer_than_image_output_is_bounded_by_its_own_price() -> None:
    row = {"model": "gpt-image-1.5", "meter": "text_output", "unit": "1M tokens", "usd": "100"}
    book = PriceBook.build(json.dumps({"rows": [row]}).encode())
    asked = {"prompt": "", "model": "gpt-image-1.5", "size": "1024x1024", "quality": "low"}
    assert ceiling(book, DAY, asked) == 272 * 32_000 + 200 * 100_000 + 64 * 5_000


@pytest.mark.parametrize(
    ("asked", "nano"),
    [
        ({"model": "dall-e-2", "size": "256x256", "n": 3}, 48_000_000),
        ({"model": "dall-e-2"}, 20_000_000),
        ({"model": "dall-e-3", "size": "1024x1024", "quality": "standard"}, 40_000_000),
        ({"model": "dall-e-3", "size": "1024x1024", "quality": "auto"}, 80_000_000),
        ({"model": "dall-e-3", "size": "1792x1024", "quality": "hd"}, 120_000_000),
    ],
)
def test_dall_e_is_bounded_by_its_table(asked: dict[str, Any], nano: int) -> None:
    assert ceiling(BOOK, DAY, {"prompt": "a very long prompt" * 20, **asked}) == nano


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "pixie"},
        {},
        {"model": 5},
        {"model": "gpt-image-1", "n": 0},
        {"model": "gpt-image-1", "n": True},
        {"model": "gpt-image-1", "n": "2"},
        {"model": "gpt-image-1", "images": ["chair.png"]},
        {"model": "gpt-image-2.6-flare", "output_format": "svg"},
    ],
)
def test_what_cannot_be_bounded_has_no_ceiling_and_no_estimate(asked: dict[str, Any]) -> None:
    assert ceiling(BOOK, DAY, {"prompt": "x", **asked}) is None
    assert estimate(BOOK, DAY, {"prompt": "x", **asked}) == Estimate(None, None, None)


def test_before_a_price_begins_there_is_no_ceiling() -> None:
    assert ceiling(BOOK, date(2026, 4, 20), {"prompt": "x", "model": "gpt-image-2"}) is None


def test_a_gif_is_bounded_by_its_sheet_not_by_its_frame() -> None:
    asked = {"prompt": "", "model": "gpt-image-2.6-flare", "size": "720x720", "quality": "max"}
    sheet = formula_tokens(96, 2880, 2880) * 30_000 + 64 * 5_000
    assert ceiling(BOOK, DAY, asked | {"output_format": "gif"}) == sheet
    assert (ceiling(BOOK, DAY, asked) or 0) < sheet


def test_a_stated_shape_is_estimated_exactly() -> None:
    asked = {"prompt": "a" * 240, "model": "gpt-image-2", "size": "1536x1024", "quality": "medium"}
    found = estimate(BOOK, DAY, asked)
    assert found.low == found.expected == 41_460_000


def test_an_open_shape_is_a_range() -> None:
    found = estimate(BOOK, DAY, {"prompt": "a chair", "model": "gpt-image-2"})
    assert (found.low or 0) < (found.expected or 0) < (found.ceiling or 0)


def test_estimates_lie_in_order_for_every_model() -> None:
    for name, model in matrix().models.items():
        for quality in model.qualities:
            found = estimate(BOOK, DAY, {"prompt": "a chair", "model": name, "quality": quality})
            assert 0 < (found.low or 0) <= (found.expected or 0) <= (found.ceiling or 0), (name, quality)


def test_a_flat_price_beside_laid_over_token_prices_bounds_both() -> None:
    rows = [
        {"model": "gpt-image-1", "meter": "image", "unit": "image", "usd": "0.5"},
        {"model": "gpt-image-1", "meter": "image_output", "unit": "1M tokens", "usd": "1"},
    ]
    book = PriceBook.build(json.dumps({"rows": rows}).encode())
    assert ceiling(book, DAY, {"prompt": "x", "model": "gpt-image-1"}) == 500_000_000


def test_a_price_for_a_model_nobody_knows_bounds_it() -> None:
    row = {"model": "pixie", "meter": Meter.IMAGE.value, "unit": "image", "usd": "0.0125"}
    book = PriceBook.build(json.dumps({"rows": [row]}).encode())
    assert ceiling(book, DAY, {"prompt": "x", "model": "pixie", "n": 2}) == 25_000_000
    assert estimate(book, DAY, {"prompt": "x", "model": "pixie"}) == Estimate(12_500_000, 12_500_000, 12_500_000)
