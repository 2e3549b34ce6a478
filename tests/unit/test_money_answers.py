"""What answers cost: every worked example, and the doubtful ones."""

import json
from datetime import date
from typing import Any

import pytest

from jobs.catalogue.prices import Meter, PriceBook
from jobs.money import Charge, Cost, UsageRejected, ceiling, dollars, post_ceiling, price_answer, split

DAY = date(2026, 11, 22)
BOOK = PriceBook.build()


def usage(text: int, out: int, *, image_in: int = 0, text_out: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "input_tokens": text + image_in,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image_in},
        "output_tokens": out,
        "total_tokens": text + image_in + out,
    }
    if text_out is not None:
        found["output_tokens_details"] = {"image_tokens": out - text_out, "text_tokens": text_out}
    return found


def request(model: str, size: str = "1024x1024", quality: str = "high", **more: Any) -> dict[str, Any]:
    return {"prompt": "a red chair", "model": model, "size": size, "quality": quality, **more}


def priced(asked: dict[str, Any], used: dict[str, Any] | None, images: int = 1, tier: str = "standard") -> Cost:
    cost = price_answer(BOOK, DAY, asked, used, images, tier=tier)
    assert isinstance(cost, Cost)
    return cost


SEED = usage(15, 1)
EXAMPLES = [
    ("the seed's usage on gpt-image-1", request("gpt-image-1"), SEED, 115_000, "0.000115"),
    ("the seed's usage on 1.5", request("gpt-image-1.5"), SEED, 107_000, "0.000107"),
    ("the seed's usage on 2", request("gpt-image-2"), SEED, 105_000, "0.000105"),
    ("the seed's usage on 2.5", request("gpt-image-2.5-flare"), SEED, 105_000, "0.000105"),
    ("the seed's usage on 2.6", request("gpt-image-2.6-sunburst"), SEED, 105_000, "0.000105"),
    ("the seed's usage on 1-mini", request("gpt-image-1-mini"), SEED, 38_000, "0.000038"),
    ("a real high square on gpt-image-1", request("gpt-image-1"), usage(15, 4160), 166_475_000, "0.166475"),
    ("a high square on gpt-image-2", request("gpt-image-2"), usage(15, 7024), 210_795_000, "0.210795"),
    ("a high square on 2.5", request("gpt-image-2.5-flare"), usage(15, 1756), 52_755_000, "0.052755"),
    ("60 text in, 1,372 out on 2", request("gpt-image-2", "1536x1024"), usage(60, 1372), 41_460_000, "0.04146"),
    (
        "four medium squares",
        request("gpt-image-1", quality="medium", n=4),
        usage(15, 4 * 1056),
        169_035_000,
        "0.169035",
    ),
    ("text out beside the image", request("gpt-image-1.5"), usage(40, 4280, text_out=120), 134_520_000, "0.13452"),
    ("the same without details", request("gpt-image-1.5"), usage(40, 4280), 137_160_000, "0.13716"),
    (
        "an edit's image input",
        request("gpt-image-1", quality="medium"),
        usage(50, 1056, image_in=1000),
        52_490_000,
        "0.05249",
    ),
]


@pytest.mark.parametrize(("name", "asked", "used", "nano", "text"), EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_a_worked_example_comes_out_to_the_nano_dollar(
    name: str, asked: dict[str, Any], used: dict[str, Any], nano: int, text: str
) -> None:
    cost = priced(asked, used)
    assert cost.total_nano == nano
    assert cost.priced_by == "usage"
    assert dollars(nano) == text


@pytest.mark.parametrize(("name", "asked", "used", "nano", "text"), EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_no_worked_example_exceeds_its_ceiling(
    name: str, asked: dict[str, Any], used: dict[str, Any], nano: int, text: str
) -> None:
    if "edit" in name:
        assert ceiling(BOOK, DAY, {**asked, "image": "chair.png"}) is None
    else:
        assert nano <= (ceiling(BOOK, DAY, asked) or 0)


def test_the_batch_tier_costs_half() -> None:
    assert priced(request("gpt-image-1"), SEED, tier="batch").total_nano == 57_500


def test_the_cost_of_four_images_splits_evenly() -> None:
    total = priced(request("gpt-image-1", quality="medium", n=4), usage(15, 4 * 1056)).total_nano
    assert split(total or 0, 4) == (42_258_750,) * 4


@pytest.mark.parametrize(
    ("asked", "images", "nano"),
    [
        (request("dall-e-2", quality="standard", n=3), 3, 60_000_000),
        (request("dall-e-3", "1792x1024", "hd"), 1, 120_000_000),
        ({"prompt": "x", "model": "dall-e-2"}, 1, 20_000_000),
        ({"prompt": "x", "model": "dall-e-3", "quality": "auto"}, 1, 40_000_000),
        (request("dall-e-2", "256x256", "standard", n=5), 2, 32_000_000),
    ],
)
def test_dall_e_is_charged_for_the_images_received(asked: dict[str, Any], images: int, nano: int) -> None:
    cost = priced(asked, None, images)
    assert cost.total_nano == nano
    assert cost.priced_by == "table"
    assert [charge.meter for charge in cost.charges] == [Meter.IMAGE]
    assert cost.charges[0].quantity == images


def test_every_meter_is_a_charge_of_its_own() -> None:
    cost = priced(request("gpt-image-1.5"), usage(40, 4280, image_in=10, text_out=120))
    charges = {charge.meter: (charge.quantity, charge.amount_nano) for charge in cost.charges}
    assert charges == {
        Meter.TEXT_IN: (40, 200_000),
        Meter.IMAGE_IN: (10, 80_000),
        Meter.IMAGE_OUT: (4160, 133_120_000),
        Meter.TEXT_OUT: (120, 1_200_000),
    }


def test_a_meter_without_a_price_is_unknown_and_never_nothing() -> None:
    cost = priced(request("gpt-image-2.5-flare"), usage(15, 500, text_out=20))
    assert cost.total_nano is None
    assert cost.priced_by == "none"
    assert Charge(Meter.TEXT_OUT, 20, "token", None, None) in cost.charges


def test_a_token_model_without_usage_is_priced_by_the_table() -> None:
    cost = priced(request("gpt-image-1"), None)
    assert cost.priced_by == "table"
    assert cost.total_nano == 4160 * 40_000 + 3 * 5_000


def test_the_table_counts_the_images_received_not_those_asked_for() -> None:
    cost = priced(request("gpt-image-1", n=4), None, images=2)
    assert cost.total_nano == 2 * 4160 * 40_000 + 3 * 5_000


def test_without_usage_what_was_left_to_the_model_is_priced_at_its_ceiling() -> None:
    asked = {"prompt": "x", "model": "gpt-image-2"}
    assert priced(asked, None).total_nano == ceiling(BOOK, DAY, asked)


@pytest.mark.parametrize("model", ["pixie", None, 5])
def test_an_unknown_model_is_unpriced(model: object) -> None:
    cost = priced({"prompt": "x", "model": model}, None)
    assert cost == Cost((), "none", None)


def test_usage_of_an_unknown_model_is_unpriced_too() -> None:
    cost = priced({"prompt": "x", "model": "pixie"}, SEED)
    assert cost.total_nano is None
    assert cost.priced_by == "none"


def test_a_paid_answer_without_an_image_and_usage_is_unknown() -> None:
    assert priced(request("dall-e-2"), None, images=0).total_nano is None


def test_a_usage_of_zeros_beside_an_image_is_not_believed() -> None:
    assert priced(request("gpt-image-1"), usage(0, 0)).priced_by == "table"


def test_input_without_an_image_is_charged_alone() -> None:
    assert priced(request("gpt-image-1"), usage(15, 0), images=0).total_nano == 75_000


@pytest.mark.parametrize(
    "bad", [{"input_tokens": -5, "output_tokens": 1}, {"input_tokens": 1.5, "output_tokens": 1}]
)
def test_malformed_usage_is_rejected(bad: dict[str, Any]) -> None:
    assert isinstance(price_answer(BOOK, DAY, request("gpt-image-1"), bad, 1), UsageRejected)


def test_usage_over_ten_times_the_ceiling_is_rejected() -> None:
    asked = request("gpt-image-1")
    bound = ceiling(BOOK, DAY, asked) or 0
    tokens = 10 * bound // 40_000
    assert isinstance(price_answer(BOOK, DAY, asked, usage(0, tokens), 1), Cost)
    rejected = price_answer(BOOK, DAY, asked, usage(0, tokens + 1), 1)
    assert isinstance(rejected, UsageRejected)
    assert "ceiling" in rejected.reason


def test_a_stated_ceiling_bounds_usage_as_well() -> None:
    asked = request("gpt-image-1")
    assert isinstance(price_answer(BOOK, DAY, asked, usage(15, 4160), 1, ceiling_nano=1_000_000), UsageRejected)


def test_a_posted_ceiling_is_itemised_where_the_book_can() -> None:
    asked = request("gpt-image-1")
    bound = ceiling(BOOK, DAY, asked) or 0
    cost = post_ceiling(BOOK, DAY, asked, bound)
    assert cost.total_nano == bound
    assert [charge.meter for charge in cost.charges] == [Meter.TEXT_IN, Meter.IMAGE_OUT]
    assert sum(charge.amount_nano or 0 for charge in cost.charges) == bound


def test_a_stated_ceiling_is_posted_in_one_sum() -> None:
    cost = post_ceiling(BOOK, DAY, {"prompt": "x", "model": "pixie", "n": 2}, 500)
    assert cost == Cost((Charge(Meter.IMAGE, 2, "image", None, 500),), "table", 500)


def laid_over(*rows: dict[str, str]) -> PriceBook:
    return PriceBook.build(json.dumps({"rows": rows}).encode())


FLAT = {"model": "gpt-image-1", "meter": "image", "unit": "image", "usd": "0.05"}


def test_a_per_image_price_laid_over_a_token_model_replaces_its_tokens() -> None:
    cost = price_answer(laid_over(FLAT), DAY, request("gpt-image-1", n=2), usage(15, 4160), 2)
    assert isinstance(cost, Cost)
    assert cost.total_nano == 100_000_000


def test_with_both_laid_over_usage_decides() -> None:
    token = {"model": "gpt-image-1", "meter": "image_output", "unit": "1M tokens", "usd": "1"}
    book = laid_over(FLAT, token)
    by_usage = price_answer(book, DAY, request("gpt-image-1"), usage(0, 4160), 1)
    by_image = price_answer(book, DAY, request("gpt-image-1"), None, 1)
    assert isinstance(by_usage, Cost)
    assert isinstance(by_image, Cost)
    assert by_usage.total_nano == 4_160_000
    assert by_image.total_nano == 50_000_000
