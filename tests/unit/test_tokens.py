"""Image output tokens: the published points, and a ceiling that nothing legal exceeds."""

from dataclasses import replace

import pytest

from jobs.catalogue.matrix import Model, find_model, matrix, parse_size
from jobs.catalogue.prices import PriceBook
from jobs.catalogue.tokens import LARGEST_PX, WORST_FACTOR, TokenRange, formula_tokens, image_tokens

BOOK = PriceBook.build()


def model(name: str) -> Model:
    found = find_model(name)
    assert found is not None
    return found


def tokens(name: str, size: str | None, quality: str | None) -> TokenRange:
    return image_tokens(model(name), BOOK.published_tokens(name), size, quality)


@pytest.mark.parametrize(
    ("factor", "size", "expected"),
    [
        (16, "1024x1024", 196),
        (48, "1024x1024", 1756),
        (96, "1024x1024", 7024),
        (24, "1024x1024", 439),
        (64, "1024x1024", 3122),
        (16, "1536x1024", 158),
        (48, "1536x1024", 1372),
        (96, "1536x1024", 5488),
        (24, "1536x1024", 343),
        (64, "1536x1024", 2459),
        (16, "3840x2160", 371),
        (48, "3840x2160", 3336),
        (96, "3840x2160", 13342),
        (24, "3840x2160", 865),
        (64, "3840x2160", 5930),
        (96, "2048x2048", 14272),
        (96, "2560x1440", 7370),
    ],
)
def test_the_formula_meets_every_published_point(factor: int, size: str, expected: int) -> None:
    pixels = parse_size(size)
    assert pixels
    assert formula_tokens(factor, *pixels) == expected
    assert formula_tokens(factor, *reversed(pixels)) == expected


def test_halves_round_up() -> None:
    assert formula_tokens(16, 1024, 672) == -(-16 * 11 * (2_000_000 + 1024 * 672) // 4_000_000)


def test_no_legal_size_takes_more_tokens_than_the_largest_square() -> None:
    rule = model("gpt-image-2").size_rule
    assert rule is not None
    edges = range(16, rule.max_edge + 1, 16)
    legal = [(width, height) for width in edges for height in edges if rule.fault(width, height) is None]
    assert LARGEST_PX in legal
    assert max(formula_tokens(WORST_FACTOR, *size) for size in legal) == formula_tokens(WORST_FACTOR, *LARGEST_PX)


def test_a_stated_size_and_quality_leave_nothing_open() -> None:
    assert tokens("gpt-image-1", "1024x1024", "high") == TokenRange(4160, 4160, 4160)
    assert tokens("gpt-image-2.5-flare", "1536x1024", "max") == TokenRange(5488, 5488, 5488)


def test_what_is_left_to_the_model_is_bounded_by_the_dearest() -> None:
    assert tokens("gpt-image-1", None, None).ceiling == 6240
    assert tokens("gpt-image-1", None, "low").ceiling == 408
    assert tokens("gpt-image-2", None, None).ceiling == formula_tokens(96, 2880, 2880)
    assert tokens("gpt-image-2", None, "low").ceiling == formula_tokens(16, 2880, 2880)


def test_a_model_without_a_formula_is_bounded_by_the_worst_factor_at_its_size() -> None:
    found = tokens("gpt-image-2.6-flare", "1536x1024", "low")
    assert found.ceiling == formula_tokens(96, 1536, 1024)
    assert found.low < found.expected < found.ceiling


@pytest.mark.parametrize(("size", "quality", "seen"), [("1536x1024", "low", 664), ("1536x1024", "high", 1353)])
def test_measurements_of_a_model_without_a_formula_lie_under_its_ceiling(
    size: str, quality: str, seen: int
) -> None:
    assert seen <= tokens("gpt-image-2.6-flare", size, quality).ceiling


def test_published_dollars_become_tokens_with_a_margin() -> None:
    found = tokens("gpt-image-1-mini", "1024x1024", "high")
    assert found.expected == 4500
    assert found.ceiling == 5625


def test_a_sister_without_figures_borrows_the_table_with_a_margin() -> None:
    assert tokens("chatgpt-image-latest", "1024x1024", "high") == TokenRange(4160, 4160, 5200)


def test_a_model_of_which_nothing_is_published_gets_the_worst_of_all() -> None:
    stranger = replace(model("gpt-image-1"), token_rule=None, family_rule=None)
    assert image_tokens(stranger, {}, "1024x1024", "low").ceiling == formula_tokens(96, 2880, 2880)


def test_low_never_exceeds_expected_nor_expected_the_ceiling() -> None:
    for name, known in matrix().models.items():
        for size in (None, "1024x1024", "1536x1024"):
            for quality in (None, *known.qualities):
                if known.returns_usage:
                    found = tokens(name, size, quality)
                    assert 0 < found.low <= found.expected <= found.ceiling, (name, size, quality)
