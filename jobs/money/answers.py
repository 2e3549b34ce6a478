"""What an answer costs: its usage at the day's prices, else the table, else unknown.

Settlement calls this once per paid answer. Every meter is charged apart, so that cached or image input, text output
and image output never share a price.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from jobs.catalogue.prices import Meter, PriceBook
from jobs.money.amounts import UNPRICED, Charge, Cost, total
from jobs.money.quotes import Shape, bills_by_image, ceiling, ceiling_charges, expected_charges, shape_of
from jobs.money.usage import Tokens, UsageRejected, read_usage

ABSURD_FACTOR = 10


def price_answer(
    book: PriceBook,
    day: date,
    request: Mapping[str, Any],
    usage: Mapping[str, Any] | None,
    images: int,
    *,
    tier: str = "standard",
    ceiling_nano: int | None = None,
) -> Cost | UsageRejected:
    """The cost of a paid answer with `images` images received.

    `request` is what was asked; lay the answer's own size and quality over it where it names them, then a table
    price is exact. Usage that is malformed, or that comes to more than ten times the ceiling (`ceiling_nano`, else
    the request's own), is a UsageRejected: post the ceiling with `post_ceiling`.
    """
    tokens = read_usage(usage)
    if isinstance(tokens, UsageRejected):
        return tokens
    if tokens is None or (tokens.out == 0 and images > 0) or _by_image(book, day, request, tier):
        return _by_table(book, day, request, images, tier)
    cost = Cost.of(_token_charges(book, day, str(request.get("model")), tokens, tier), "usage")
    bound = ceiling_nano if ceiling_nano is not None else ceiling(book, day, request)
    if bound is not None and cost.total_nano is not None and cost.total_nano > ABSURD_FACTOR * bound:
        return UsageRejected(f"usage comes to {cost.total_nano} nano-dollars, over ten times the ceiling {bound}")
    return cost


def post_ceiling(book: PriceBook, day: date, request: Mapping[str, Any], ceiling_nano: int) -> Cost:
    """The reserved ceiling as a cost: meter by meter where it is the book's own, in one sum where it was stated."""
    charges = ceiling_charges(book, day, request)
    if charges is None or total(charges) != ceiling_nano:
        charges = (Charge(Meter.IMAGE, int(request.get("n", 1)), "image", None, ceiling_nano),)
    return Cost(charges, "table", ceiling_nano)


def _by_image(book: PriceBook, day: date, request: Mapping[str, Any], tier: str) -> bool:
    shape: Shape | None = shape_of(request, tier)
    return shape is not None and bills_by_image(book, day, shape)


def _by_table(book: PriceBook, day: date, request: Mapping[str, Any], images: int, tier: str) -> Cost:
    """Without an image there is nothing to look up: paid, but unknown how much."""
    if images < 1:
        return UNPRICED
    charges = expected_charges(book, day, {**request, "n": images}, tier)
    return Cost.of(charges, "table") if charges else UNPRICED


def _token_charges(book: PriceBook, day: date, model: str, tokens: Tokens, tier: str) -> tuple[Charge, ...]:
    counts = {
        Meter.TEXT_IN: tokens.text_in,
        Meter.IMAGE_IN: tokens.image_in,
        Meter.IMAGE_OUT: tokens.image_out,
        Meter.TEXT_OUT: tokens.text_out,
    }
    return tuple(
        Charge.at(book.rate(model, meter, day, tier), meter, quantity)
        for meter, quantity in counts.items()
        if quantity
    )
