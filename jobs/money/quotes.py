"""What a request may cost before it is made: estimate and ceiling.

`ceiling` is a promise: no answer that follows the published rules costs more. It takes the dearest size and
quality where the model may choose, every UTF-8 byte of the prompt as a token, previews, and stray text output.
Rows of a manifest share their parameters, so everything but the prompt is computed once per set of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from jobs.catalogue.matrix import AUTO, Model, find_model
from jobs.catalogue.prices import Meter, PriceBook, Rate
from jobs.catalogue.tokens import TokenRange, image_tokens
from jobs.money.amounts import Charge, total

INPUT_MARGIN_TOKENS = 64
"""Over the bytes of the prompt, for what the provider adds to it. A token is never less than a byte."""
TEXT_OUT_ALLOWANCE_TOKENS = 200
"""Per image, for models that may write text beside it; 120 have been seen."""
PARTIAL_IMAGE_TOKENS = 100
_LONGEST_NAME = 200
"""Characters of a model, size or quality that can have a price; keeps the cache of quotes small."""
_INPUT_IMAGES = ("image", "images", "mask", "markup")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Nano-dollars for one call or for many; None where nothing can be said."""

    low: int | None
    expected: int | None
    ceiling: int | None
    tokens: int = 0
    """That one call is expected to use; 0 where tokens are not what is paid for."""


UNKNOWN = Estimate(None, None, None)
"""Of a call that has no price, or no bound."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All of a request that moves its price, but for the prompt. None: left to the model."""

    model: str
    n: int
    size: str | None
    quality: str | None
    partials: int
    tier: str = "standard"

    @property
    def left_open(self) -> bool:
        return self.size is None or self.quality is None


@dataclass(frozen=True, slots=True, eq=False)
class Quote:
    """What a shape's output costs, and what its prompt is charged at (None: not charged). Compared and hashed by
    identity, so that sums may be cached per quote."""

    low: Charge
    expected: Charge
    ceiling: tuple[Charge, ...]
    text_in: Rate | None
    left_open: bool = False
    """By tokens, and size or quality is the model's choice: only the ceiling can be counted on."""


def ceiling(book: PriceBook, day: date, request: Mapping[str, Any]) -> int | None:
    """The most this call may cost in nano-dollars, or None: unknown model, no price, or no bound."""
    return total(charges) if (charges := ceiling_charges(book, day, request)) else None


def ceiling_charges(book: PriceBook, day: date, request: Mapping[str, Any]) -> tuple[Charge, ...] | None:
    """The ceiling meter by meter."""
    quoted = quote(book, day, request)
    return _most(quoted, _bytes(request)) if quoted else None


def expected_charges(
    book: PriceBook, day: date, request: Mapping[str, Any], tier: str = "standard"
) -> tuple[Charge, ...] | None:
    """The likely charges; the ceiling's where size or quality is left to the model, so that no cap is fooled."""
    quoted = quote(book, day, request, tier)
    if quoted is None:
        return None
    return _most(quoted, _bytes(request)) if quoted.left_open else _likely(quoted, _bytes(request))


def estimate(book: PriceBook, day: date, request: Mapping[str, Any]) -> Estimate:
    """Least, likely and most for one call."""
    return estimate_at(quote(book, day, request), request)


def quote(book: PriceBook, day: date, request: Mapping[str, Any], tier: str = "standard") -> Quote | None:
    """The price of everything but the prompt; None where there is no bound. One for all requests that differ in
    their prompts only."""
    shape = shape_of(request, tier)
    return _quote(book, day, shape) if shape else None


def estimate_at(quoted: Quote | None, request: Mapping[str, Any]) -> Estimate:
    """What `estimate` answers, from the quote of such a request."""
    return UNKNOWN if quoted is None else _estimate(quoted, _bytes(request))


@lru_cache(maxsize=8192)
def _estimate(quoted: Quote, prompt_bytes: int) -> Estimate:
    """Rows of a manifest share few quotes, and their prompts few lengths."""
    most, likely = _most(quoted, prompt_bytes), _likely(quoted, prompt_bytes)
    counted_on = most if quoted.left_open else likely
    return Estimate(
        low=total((*likely[:-1], quoted.low)),
        expected=total(likely),
        ceiling=total(most),
        tokens=sum(charge.quantity for charge in counted_on if charge.unit == "token"),
    )


def _most(quoted: Quote, prompt_bytes: int) -> tuple[Charge, ...]:
    return (*_prompt_charge(quoted, prompt_bytes + INPUT_MARGIN_TOKENS), *quoted.ceiling)


def _likely(quoted: Quote, prompt_bytes: int) -> tuple[Charge, ...]:
    """A quarter of the prompt's bytes as tokens: near enough for Latin script, and for Chinese."""
    return (*_prompt_charge(quoted, -(-prompt_bytes // 4)), quoted.expected)


def _prompt_charge(quoted: Quote, tokens: int) -> tuple[Charge, ...]:
    return (Charge.at(quoted.text_in, Meter.TEXT_IN, tokens),) if quoted.text_in else ()


def _bytes(request: Mapping[str, Any]) -> int:
    prompt = request.get("prompt")
    if not isinstance(prompt, str):
        return 0
    return len(prompt) if prompt.isascii() else len(prompt.encode("utf-8", "surrogatepass"))


def shape_of(request: Mapping[str, Any], tier: str = "standard") -> Shape | None:
    """None where no bound can be given: no model, no whole n, images going in, or an SVG author's own bill."""
    model, n = request.get("model"), request.get("n", 1)
    if not isinstance(model, str) or len(model) > _LONGEST_NAME or type(n) is not int or n < 1:
        return None
    if request.get("output_format") == "svg" or any(name in request for name in _INPUT_IMAGES):
        return None
    # The frames of a GIF share one sheet, whose size is not the one asked for.
    size = None if request.get("output_format") == "gif" else _stated(request.get("size"))
    partials = request.get("partial_images", 0)
    partials = partials if type(partials) is int and partials > 0 else 0
    return Shape(model, n, size, _stated(request.get("quality")), partials, tier)


def _stated(value: object) -> str | None:
    """A word the user chose; what is too long to be one bounds nothing."""
    return value if isinstance(value, str) and value != AUTO and len(value) <= _LONGEST_NAME else None


@lru_cache(maxsize=4096)
def _quote(book: PriceBook, day: date, shape: Shape) -> Quote | None:
    output = book.rate(shape.model, Meter.IMAGE_OUT, day, shape.tier)
    by_image = _quote_images(book, day, shape)
    by_tokens = _quote_tokens(book, day, shape, output) if output else None
    if by_image is None or by_tokens is None or bills_by_image(book, day, shape):
        return by_image or by_tokens
    # Both are priced and the answer's usage will decide: the dearer one bounds both.
    return max(by_image, by_tokens, key=lambda quoted: total(quoted.ceiling) or 0)


@lru_cache(maxsize=4096)
def image_rate(book: PriceBook, day: date, shape: Shape) -> Rate | None:
    """The per-image price of this shape, the dearest of its rows where it matches none."""
    known = find_model(shape.model)
    size = shape.size or (_stated(known.default_size) if known else None)
    quality = shape.quality or (known.default_quality if known else None)
    exact = book.rate(shape.model, Meter.IMAGE, day, shape.tier, size=size, quality=quality)
    return exact or book.dearest(shape.model, Meter.IMAGE, day, shape.tier, size=size, quality=quality)


def bills_by_image(book: PriceBook, day: date, shape: Shape) -> bool:
    """Is this model paid per image even where the answer has usage?

    So it is when it has no token price, or when the user laid a per-image price over the built-in token prices.
    """
    per_image = image_rate(book, day, shape)
    output = book.rate(shape.model, Meter.IMAGE_OUT, day, shape.tier)
    return per_image is not None and (output is None or (per_image.laid_over and not output.laid_over))


def _quote_images(book: PriceBook, day: date, shape: Shape) -> Quote | None:
    likely = image_rate(book, day, shape)
    if likely is None:
        return None
    known = find_model(shape.model)
    size = shape.size or (_stated(known.default_size) if known else None)
    top = book.dearest(shape.model, Meter.IMAGE, day, shape.tier, size=size, quality=shape.quality) or likely
    expected = Charge.at(likely, Meter.IMAGE, shape.n)
    return Quote(expected, expected, (Charge.at(top, Meter.IMAGE, shape.n),), None)


def _quote_tokens(book: PriceBook, day: date, shape: Shape, output: Rate) -> Quote | None:
    known = find_model(shape.model)
    text_in = book.rate(shape.model, Meter.TEXT_IN, day, shape.tier)
    if known is None or text_in is None:
        return None
    tokens = image_tokens(known, _published(book, known), shape.size, shape.quality)
    previews = shape.partials * PARTIAL_IMAGE_TOKENS
    text_out = book.rate(shape.model, Meter.TEXT_OUT, day, shape.tier)
    return Quote(
        low=Charge.at(output, Meter.IMAGE_OUT, shape.n * tokens.low),
        expected=Charge.at(output, Meter.IMAGE_OUT, shape.n * (tokens.expected + previews)),
        ceiling=_ceiling_out(shape.n, tokens, previews, output, text_out),
        text_in=text_in,
        left_open=shape.left_open,
    )


def _published(book: PriceBook, model: Model) -> Mapping[tuple[str, str], int]:
    return book.published_tokens(model.id) or book.published_tokens(model.snapshot_of or "")


def _ceiling_out(
    n: int, tokens: TokenRange, previews: int, output: Rate, text_out: Rate | None
) -> tuple[Charge, ...]:
    """Text output without details is billed as image output, so the allowance takes the dearer of both."""
    most = n * (tokens.ceiling + previews)
    allowance = n * TEXT_OUT_ALLOWANCE_TOKENS if text_out else 0
    if text_out is None or text_out.nano_per_million <= output.nano_per_million:
        return (Charge.at(output, Meter.IMAGE_OUT, most + allowance),)
    return (
        Charge.at(output, Meter.IMAGE_OUT, most),
        Charge.at(text_out, Meter.TEXT_OUT, allowance),
    )
