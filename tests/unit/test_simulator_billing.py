"""The simulator's books hold the worked examples of the contract, to the nano-dollar."""

from typing import Any

import pytest

from worker.simulator.billing import amount_nanodollars, input_tokens, output_tokens, usage_of
from worker.simulator.models import GPT1, GPT2, GPT25
from worker.simulator.request import read_request


def cost(prompt: str = "x" * 60, **fields: Any) -> int:
    """Of a call whose prompt counts 15 tokens."""
    request = read_request({"prompt": prompt} | fields)
    return amount_nanodollars(request, usage_of(request, request.n), request.n)


@pytest.mark.parametrize(
    ("fields", "nanodollars"),
    [
        ({"model": "gpt-image-1", "quality": "high"}, 166_475_000),
        ({"model": "gpt-image-2", "quality": "high"}, 210_795_000),
        ({"model": "gpt-image-2.5-flare", "quality": "high"}, 52_755_000),
        ({"model": "gpt-image-1", "quality": "medium", "n": 4}, 169_035_000),
        ({"model": "gpt-image-1-mini", "quality": "low"}, 15 * 2_000 + 272 * 8_000),
        ({"model": "gpt-image-1.5", "quality": "low"}, 15 * 5_000 + 272 * 32_000),
        ({"model": "dall-e-2", "n": 3}, 60_000_000),
        ({"model": "dall-e-3", "quality": "hd", "size": "1792x1024"}, 120_000_000),
    ],
)
def test_a_call_costs_what_the_contract_computes(fields: dict[str, Any], nanodollars: int) -> None:
    assert cost(**fields) == nanodollars


@pytest.mark.parametrize(
    ("quality", "width", "height", "tokens"),
    [
        ("low", 1024, 1024, 196),
        ("medium", 1536, 1024, 1372),
        ("high", 3840, 2160, 13_342),
        ("high", 2048, 2048, 14_272),
        ("high", 2560, 1440, 7_370),
    ],
)
def test_tokens_of_gpt_image_2_follow_the_formula(quality: str, width: int, height: int, tokens: int) -> None:
    assert output_tokens(GPT2, quality, width, height) == tokens


@pytest.mark.parametrize(
    ("quality", "tokens"), [("low", 371), ("medium", 865), ("high", 3336), ("xhigh", 5930), ("max", 13_342)]
)
def test_tokens_of_gpt_image_25_at_4k_follow_the_formula(quality: str, tokens: int) -> None:
    assert output_tokens(GPT25, quality, 3840, 2160) == tokens


def test_halves_are_rounded_up() -> None:
    scaled = 11  # 16 * 672 / 1024 is 10.5
    assert output_tokens(GPT2, "low", 1024, 672) == -(-16 * scaled * (2_000_000 + 1024 * 672) // 4_000_000)


def test_tokens_of_gpt_image_1_come_from_the_table() -> None:
    assert output_tokens(GPT1, "high", 1024, 1536) == 6240


@pytest.mark.parametrize(("prompt", "tokens"), [("a", 1), ("abcd", 1), ("abcde", 2), ("字字", 2)])
def test_input_is_counted_by_bytes_of_utf8(prompt: str, tokens: int) -> None:
    assert input_tokens(prompt) == tokens


def test_usage_adds_up_and_counts_partial_images() -> None:
    fields = {"prompt": "a fox", "model": "gpt-image-1", "quality": "low", "stream": True, "partial_images": 2}
    usage = usage_of(read_request(fields), 1)
    assert usage is not None
    assert usage["output_tokens"] == 272 + 2 * 100
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"] == {"text_tokens": usage["input_tokens"], "image_tokens": 0}


def test_dall_e_has_no_usage() -> None:
    assert usage_of(read_request({"prompt": "a fox", "model": "dall-e-3"}), 1) is None
