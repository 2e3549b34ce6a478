"""The price book: dates, tiers, snapshots, and files laid over it."""

import json
from collections.abc import Mapping
from datetime import date

import pytest

from jobs.catalogue.matrix import matrix
from jobs.catalogue.prices import Meter, PriceBook
from jobs.errors import UsageError

DAY = date(2026, 11, 22)
BOOK = PriceBook.build()


def overlay(*rows: Mapping[str, object]) -> bytes:
    return json.dumps({"rows": rows}).encode()


def token_row(**changes: object) -> dict[str, object]:
    row = {"model": "gpt-image-2", "meter": "text_input", "unit": "1M tokens", "usd": "7"}
    return row | changes


def nano(book: PriceBook, model: str, meter: Meter, day: date = DAY, tier: str = "standard") -> int | None:
    rate = book.rate(model, meter, day, tier)
    return rate.nano_per_million if rate else None


def test_dollars_become_nano_dollars_per_million() -> None:
    assert nano(BOOK, "gpt-image-1", Meter.TEXT_IN) == 5_000_000_000
    image = BOOK.rate("dall-e-2", Meter.IMAGE, DAY, size="256x256", quality="standard")
    assert image is not None
    assert image.nano_per_million == 16_000_000 * 1_000_000
    assert image.unit == "image"


def test_every_token_price_is_whole_per_token() -> None:
    for model in BOOK.models():
        for meter in Meter:
            for tier in ("standard", "batch"):
                rate = BOOK.rate(model, meter, DAY, tier)
                assert rate is None or rate.nano_per_million % 1_000_000 == 0


def test_every_model_that_returns_usage_has_prices_for_text_in_and_image_out() -> None:
    for model in matrix().models.values():
        if model.returns_usage:
            assert nano(BOOK, model.id, Meter.TEXT_IN)
            assert nano(BOOK, model.id, Meter.IMAGE_OUT)


def test_a_price_begins_on_its_first_day_and_outlives_the_service() -> None:
    assert nano(BOOK, "gpt-image-1", Meter.IMAGE_OUT, date(2025, 4, 22)) is None
    assert nano(BOOK, "gpt-image-1", Meter.IMAGE_OUT, date(2025, 4, 23)) == 40_000_000_000
    assert nano(BOOK, "gpt-image-1", Meter.IMAGE_OUT, date(2031, 1, 1)) == 40_000_000_000


def test_the_batch_tier_has_prices_of_its_own() -> None:
    assert nano(BOOK, "gpt-image-1", Meter.IMAGE_OUT, tier="batch") == 20_000_000_000
    assert nano(BOOK, "gpt-image-1", Meter.IMAGE_OUT, tier="express") is None


def test_estimate_rows_never_bill() -> None:
    assert BOOK.rate("gpt-image-1", Meter.IMAGE, DAY, size="1024x1024", quality="high") is None
    assert BOOK.published_tokens("gpt-image-1")["1024x1024", "high"] == 4160


def test_a_snapshot_without_rows_costs_what_its_undated_model_costs() -> None:
    book = PriceBook.build(overlay(token_row(model="gpt-image-1.5", usd="6")), provider="nobody")
    assert nano(book, "gpt-image-1.5-2025-12-16", Meter.TEXT_IN) == 6_000_000_000


def test_the_rows_of_another_provider_do_not_count() -> None:
    assert nano(PriceBook.build(provider="azure"), "gpt-image-1", Meter.IMAGE_OUT)
    assert nano(PriceBook.build(provider="nobody"), "gpt-image-1", Meter.IMAGE_OUT) is None


def test_an_overlay_wins_from_its_first_day_and_not_before() -> None:
    book = PriceBook.build(overlay(token_row(effective_from="2026-11-01")))
    assert nano(book, "gpt-image-2", Meter.TEXT_IN, date(2026, 10, 31)) == 5_000_000_000
    assert nano(book, "gpt-image-2", Meter.TEXT_IN, date(2026, 11, 1)) == 7_000_000_000


def test_an_overlay_without_a_date_wins_always() -> None:
    book = PriceBook.build(overlay(token_row(provider="apigo")))
    assert nano(book, "gpt-image-2", Meter.TEXT_IN) == 7_000_000_000
    rate = book.rate("gpt-image-2", Meter.TEXT_IN, DAY)
    assert rate is not None
    assert rate.laid_over
    assert rate.row_key == "apigo/gpt-image-2/standard/text_in/-/-/0001-01-01"


def test_later_rows_of_an_overlay_replace_earlier_ones() -> None:
    rows = [token_row(usd="1", effective_from="2026-01-01"), token_row(usd="2", effective_from="2026-02-01")]
    book = PriceBook.build(overlay(*rows))
    assert nano(book, "gpt-image-2", Meter.TEXT_IN, date(2026, 1, 31)) == 1_000_000_000
    assert nano(book, "gpt-image-2", Meter.TEXT_IN, date(2026, 2, 1)) == 2_000_000_000


def test_an_overlay_may_price_a_model_nobody_knows_for_every_size() -> None:
    row = {"model": "pixie", "meter": "image", "unit": "image", "usd": "0.0125"}
    rate = PriceBook.build(overlay(row)).rate("pixie", Meter.IMAGE, DAY, size="640x480", quality="best")
    assert rate is not None
    assert rate.nano_per_million == 12_500_000 * 1_000_000


def test_the_dearest_rate_covers_whatever_is_left_open() -> None:
    wide = BOOK.dearest("dall-e-3", Meter.IMAGE, DAY, size="1792x1024")
    square = BOOK.dearest("dall-e-3", Meter.IMAGE, DAY, size="1024x1024", quality="standard")
    assert wide is not None
    assert square is not None
    assert wide.nano_per_million == 120_000_000 * 1_000_000
    assert square.nano_per_million == 40_000_000 * 1_000_000
    assert BOOK.dearest("pixie", Meter.IMAGE, DAY) is None


def test_the_version_tells_that_something_was_laid_over() -> None:
    assert BOOK.version == "2026-11-22"
    one = PriceBook.build(overlay(token_row())).version
    other = PriceBook.build(overlay(token_row(usd="8"))).version
    assert one.startswith("2026-11-22+")
    assert one != other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"usd": "five"}, ["row 1", "usd", "five"]),
        ({"usd": "NaN"}, ["row 1", "usd"]),
        ({"usd": "-1"}, ["row 1", "usd", "negative"]),
        ({"usd": "0.0000000001"}, ["row 1", "usd", "digits"]),
        ({"usd": "1e30"}, ["row 1", "usd", "large"]),
        ({"usd": 5}, ["row 1", "usd"]),
        ({"meter": "text_inptu"}, ["row 1", "meter", "text_input"]),
        ({"unit": "image"}, ["row 1", "unit"]),
        ({"kind": "guess"}, ["row 1", "kind"]),
        ({"output_tokens": -1}, ["row 1", "output_tokens"]),
        ({"effective_from": "1st of May"}, ["row 1", "effective_from"]),
        ({"prize": "5"}, ["row 1", "prize"]),
    ],
)
def test_a_bad_overlay_names_file_row_and_field(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        PriceBook.build(overlay(token_row(**change)), "mine.json")
    assert all(word in str(caught.value) for word in ["mine.json", *words])


def test_a_row_without_a_price_names_the_field() -> None:
    with pytest.raises(UsageError, match=r"row 2.*usd"):
        PriceBook.build(overlay(token_row(), {"model": "a", "meter": "image", "unit": "image"}))


def test_two_overlay_rows_for_the_same_day_are_refused() -> None:
    with pytest.raises(UsageError, match=r"row 2.*row 1"):
        PriceBook.build(overlay(token_row(), token_row(meter="text_in", provider="other")))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"rows": 5}', b"\xff", b"[" * 100_000])
def test_what_is_no_price_file_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"price file mine\.json"):
        PriceBook.build(content, "mine.json")


def test_published_figures_can_be_laid_over_too() -> None:
    row = token_row(
        meter="image", unit="image", usd="0.1", kind="estimate", size="64x64", quality="low", output_tokens=7
    )
    book = PriceBook.build(overlay(row))
    assert book.published_tokens("gpt-image-2")["64x64", "low"] == 7
    assert book.published_tokens("gpt-image-2")["1024x1024", "low"] == 196
