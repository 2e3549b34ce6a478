"""How many image output tokens one image may take: the forecast behind estimates and ceilings.

Three figures per (model, size, quality): the least, the likely, the most. The most is a promise, budgets
rest on it. Where nothing is published for a model it is a deliberate over-estimate, stated here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.catalogue.matrix import Model, TokenRule, parse_size

LARGEST_PX = (2880, 2880)
"""The legal size with the most tokens: square, so that both factors are full, and exactly the pixel limit."""
USUAL_SIZES = ("1024x1024", "1536x1024", "1024x1536")
USUAL_SIZE = "1024x1024"
USUAL_QUALITY = "medium"
WORST_FACTOR = 96

LIKELY_FACTORS: Mapping[str, int] = {"low": 32, "medium": 48, "high": 48, "xhigh": 64, "max": 96}
"""For gpt-image-2.6, which has no published formula: third parties saw about four times the 2.5 tokens at
low and medium (so twice the factor), and the same above. Good enough to expect, not to promise."""
LEAST_FACTORS: Mapping[str, int] = {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}

Published = Mapping[tuple[str, str], int]
"""(size, quality) -> tokens, from the estimate rows of the price book."""


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Image output tokens of one image."""

    low: int
    expected: int
    ceiling: int


def formula_tokens(factor: int, width: int, height: int) -> int:
    """The calculator's formula in integers; halves round up, the dearer of the two readings."""
    long, short = max(width, height), min(width, height)
    scaled = (2 * factor * short + long) // (2 * long)
    return -(-factor * scaled * (2_000_000 + width * height) // 4_000_000)


def image_tokens(model: Model, published: Published, size: str | None, quality: str | None) -> TokenRange:
    """The range for one image. None, or a word the rules do not know, means the model chooses."""
    rule = model.token_rule
    if rule is not None and rule.table:
        return _from_table(_flatten(rule), size, quality)
    if rule is not None:
        return _from_formula(rule.factors, rule.factors, rule.factors, size, quality)
    if model.size_rule is not None:
        worst = dict.fromkeys(LIKELY_FACTORS, WORST_FACTOR)
        return _from_formula(LEAST_FACTORS, LIKELY_FACTORS, worst, size, quality)
    table = published or (_flatten(model.family_rule) if model.family_rule else {})
    return _with_margin(_from_table(table, size, quality)) if table else _unbounded_shape()


def _flatten(rule: TokenRule) -> dict[tuple[str, str], int]:
    return {(size, quality): count for quality, row in rule.table.items() for size, count in row.items()}


def _from_table(table: Published, size: str | None, quality: str | None) -> TokenRange:
    sizes = {key[0] for key in table}
    qualities = {key[1] for key in table}
    possible = [
        count
        for (row_size, row_quality), count in table.items()
        if (size not in sizes or row_size == size) and (quality not in qualities or row_quality == quality)
    ]
    likely = (size if size in sizes else USUAL_SIZE, quality if quality in qualities else USUAL_QUALITY)
    return TokenRange(min(possible), table.get(likely, max(possible)), max(possible))


def _from_formula(
    least: Mapping[str, int],
    likely: Mapping[str, int],
    most: Mapping[str, int],
    size: str | None,
    quality: str | None,
) -> TokenRange:
    stated = parse_size(size) if size else None
    usual = [parsed for name in USUAL_SIZES if (parsed := parse_size(name))]
    low_factor = least.get(quality or "", min(least.values()))
    likely_factor = likely.get(quality or "", likely[USUAL_QUALITY])
    top_factor = most.get(quality or "", max(most.values()))
    return TokenRange(
        low=min(formula_tokens(low_factor, *px) for px in ([stated] if stated else usual)),
        expected=formula_tokens(likely_factor, *(stated or usual[0])),
        ceiling=formula_tokens(top_factor, *(stated or LARGEST_PX)),
    )


def _with_margin(tokens: TokenRange) -> TokenRange:
    """A quarter more at the top: these counts come from loosely rounded dollars or from a sister model."""
    return TokenRange(tokens.low, tokens.expected, -(-tokens.ceiling * 5 // 4))


def _unbounded_shape() -> TokenRange:
    """A token model of which nothing at all is published: the worst that any model was seen to take."""
    worst = formula_tokens(WORST_FACTOR, *LARGEST_PX)
    return TokenRange(worst, worst, worst)
