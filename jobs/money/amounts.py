"""Amounts: the charge, its one rounding, and nano-dollars to and from the words people read."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Literal, Self

from jobs.catalogue.prices import Meter, Rate
from jobs.errors import UsageError

NANO = 10**9
_MILLION = 10**6
_LARGEST_NANO = 2**63 - 1

PricedBy = Literal["usage", "table", "none"]


@dataclass(frozen=True, slots=True)
class Charge:
    """Money of one call for one meter."""

    meter: Meter
    quantity: int
    """Tokens or images."""
    unit: str
    rate_nano_per_million: int | None
    amount_nano: int | None
    """None when this meter has no price."""

    @classmethod
    def at(cls, rate: Rate | None, meter: Meter, quantity: int) -> Self:
        """The charge for `quantity` at `rate`, rounded once, half to even."""
        unit = "image" if meter is Meter.IMAGE else "token"
        if rate is None:
            return cls(meter, quantity, unit, None, None)
        return cls(meter, quantity, unit, rate.nano_per_million, _per_million(quantity, rate.nano_per_million))


@dataclass(frozen=True, slots=True)
class Cost:
    """All charges of one call. `priced_by` none means unpriced: the total is None although parts may be known."""

    charges: tuple[Charge, ...]
    priced_by: PricedBy | None
    """None: not by us, the amount was stated."""
    total_nano: int | None

    @classmethod
    def of(cls, charges: Iterable[Charge], priced_by: PricedBy) -> Self:
        charges = tuple(charges)
        sum_nano = total(charges)
        return cls(charges, "none" if sum_nano is None else priced_by, sum_nano)

    @classmethod
    def stated(cls, amount_nano: int) -> Self:
        """What the provider's books or a person say that a call cost."""
        return cls((Charge(Meter.STATED, 0, "image", None, amount_nano),), None, amount_nano)


UNPRICED = Cost((), "none", None)


def total(charges: Iterable[Charge]) -> int | None:
    """The sum in nano-dollars; None if any part is unpriced."""
    sum_nano = 0
    for charge in charges:
        if charge.amount_nano is None:
            return None
        sum_nano += charge.amount_nano
    return sum_nano


def split(total_nano: int, parts: int) -> tuple[int, ...]:
    """Shares that add up exactly: the left-over nano-dollars go to the first ones."""
    share, left_over = divmod(total_nano, parts)
    return tuple(share + (index < left_over) for index in range(parts))


def dollars(nano: int, places: int | None = None) -> str:
    """115000 -> "0.000115": exact, with at least cents. With `places`, rounded half to even to that many."""
    value = Decimal(nano).scaleb(-9)
    if places is not None:
        return f"{value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):f}"
    whole, _, decimals = f"{value:.9f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def parse_dollars(text: str) -> int:
    """ "12.50" or "$12.50" -> 12500000000 nano-dollars. Raises UsageError that names the text."""
    try:
        nano = Decimal(text.strip().removeprefix("$")).scaleb(9)
        whole = nano == nano.to_integral_value()
    except InvalidOperation as error:
        raise UsageError(f"{text!r} is not an amount in dollars; write it like 12.50") from error
    if not whole or not 0 <= nano <= _LARGEST_NANO:
        raise UsageError(f"{text!r} must be a dollar amount of at least 0 with at most 9 decimals")
    return int(nano)


def _per_million(quantity: int, rate_nano_per_million: int) -> int:
    whole, rest = divmod(quantity * rate_nano_per_million, _MILLION)
    return whole + (2 * rest > _MILLION or (2 * rest == _MILLION and whole % 2))
