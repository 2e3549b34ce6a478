"""Usage: meters apart, and nothing believed that cannot be."""

from typing import Any

import pytest

from jobs.money.usage import Tokens, UsageRejected, read_usage


def test_details_are_kept_apart() -> None:
    usage = {
        "input_tokens": 1050,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 1000},
        "output_tokens": 4280,
        "output_tokens_details": {"image_tokens": 4160, "text_tokens": 120},
    }
    assert read_usage(usage) == Tokens(text_in=50, image_in=1000, image_out=4160, text_out=120)


def test_without_details_input_is_text_and_output_is_image() -> None:
    assert read_usage({"input_tokens": 15, "output_tokens": 4280}) == Tokens(15, 0, 4280, 0)


def test_what_the_details_leave_over_is_billed_all_the_same() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"text_tokens": 15, "image_tokens": 10},
        "output_tokens": 500,
        "output_tokens_details": {"text_tokens": 20},
    }
    assert read_usage(usage) == Tokens(text_in=90, image_in=10, image_out=480, text_out=20)


def test_details_alone_are_enough() -> None:
    usage = {"input_tokens_details": {"text_tokens": 15}, "output_tokens_details": {"image_tokens": 7}}
    assert read_usage(usage) == Tokens(15, 0, 7, 0)


@pytest.mark.parametrize(
    "usage", [None, {}, {"total_tokens": 5}, {"input_tokens": 5}, {"output_tokens": 5}, {"input_tokens": None}]
)
def test_half_of_a_usage_is_none(usage: dict[str, Any] | None) -> None:
    assert read_usage(usage) is None


@pytest.mark.parametrize("value", [-1, 1.5, 15.0, "15", True, 10**10, [], {}])
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_a_figure_that_is_no_token_count_rejects_the_usage(field: str, value: object) -> None:
    found = read_usage({"input_tokens": 1, "output_tokens": 1} | {field: value})
    assert isinstance(found, UsageRejected)
    assert field in found.reason


def test_a_bad_figure_in_the_details_is_named() -> None:
    found = read_usage({"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"text_tokens": -3}})
    assert isinstance(found, UsageRejected)
    assert "output_tokens_details.text_tokens" in found.reason


def test_details_that_are_no_object_are_as_good_as_none() -> None:
    usage = {"input_tokens": 15, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": "x"}
    assert read_usage(usage) == Tokens(15, 0, 1, 0)
