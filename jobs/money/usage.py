"""The usage object of an answer, read with suspicion.

Meters stay apart. What an endpoint says about itself is believed only if it is whole, not negative and of this
world; otherwise it is a UsageRejected, and the caller posts the ceiling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call by kind."""

    text_in: int
    image_in: int
    image_out: int
    text_out: int

    @property
    def out(self) -> int:
        return self.image_out + self.text_out


@dataclass(frozen=True, slots=True)
class UsageRejected:
    """Usage that must not be billed as it stands."""

    reason: str


def read_usage(usage: Mapping[str, Any] | None) -> Tokens | UsageRejected | None:
    """None: no usage to speak of (absent, or without input or output).

    Tokens that the details leave over belong to the meter without surprises: text going in, image coming out.
    There is no count of cached tokens, so all input is at the full price: an upper bound.
    """
    if not usage:
        return None
    try:
        text_in, image_in, sum_in = _side(usage, "input")
        text_out, image_out, sum_out = _side(usage, "output")
    except _NotTokens as error:
        return UsageRejected(str(error))
    if sum_in is None or sum_out is None:
        return None
    return Tokens(
        text_in=max(text_in, sum_in - image_in),
        image_in=image_in,
        image_out=max(image_out, sum_out - text_out),
        text_out=text_out,
    )


class _NotTokens(Exception):
    """A figure that cannot be a token count."""


def _side(usage: Mapping[str, Any], side: str) -> tuple[int, int, int | None]:
    """Text, image and all tokens of one side; the last is None where the answer does not say."""
    details = usage.get(f"{side}_tokens_details")
    if not isinstance(details, Mapping):
        details = {}
    text = _count(details, "text_tokens", f"{side}_tokens_details.")
    image = _count(details, "image_tokens", f"{side}_tokens_details.")
    stated = _count(usage, f"{side}_tokens")
    if stated is None and text is None and image is None:
        return 0, 0, None
    return text or 0, image or 0, stated or 0


def _count(counts: Mapping[str, Any], name: str, where: str = "") -> int | None:
    value = counts.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _NotTokens(f"usage.{where}{name} is {str(value)[:40]!r}, not a whole number")
    if not 0 <= value <= _MOST_TOKENS:
        raise _NotTokens(f"usage.{where}{name} is out of range")
    return value
