"""Price files: the form of prices.json, read and checked row by row.

The price book reads the built-in file and the user's own through here. What comes out is sound: known meters,
exact dollars, no two rows for the same key and day. What is not names file, row and field.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import msgspec

from jobs.catalogue.matrix import nearest_word
from jobs.errors import UsageError


class Meter(StrEnum):
    """What is counted and paid for apart."""

    TEXT_IN = "text_in"
    TEXT_CACHED_IN = "text_cached_in"
    IMAGE_IN = "image_in"
    IMAGE_CACHED_IN = "image_cached_in"
    IMAGE_OUT = "image_out"
    TEXT_OUT = "text_out"
    IMAGE = "image"
    STATED = "stated"
    """A whole call at an amount that the provider's books or a person named; never in a price file."""


METER_WORDS = {
    "text_input": Meter.TEXT_IN,
    "text_input_cached": Meter.TEXT_CACHED_IN,
    "image_input": Meter.IMAGE_IN,
    "image_input_cached": Meter.IMAGE_CACHED_IN,
    "image_output": Meter.IMAGE_OUT,
    "text_output": Meter.TEXT_OUT,
    **{meter.value: meter for meter in Meter if meter is not Meter.STATED},
}
_UNITS = {"1M tokens": 10**9, "image": 10**15}
"""Unit word -> nano-dollars per million units for one dollar."""
_MAX_RATE = 2**63 - 1
DEFAULT_PROVIDER = "openai"


PriceKey = tuple[str, str, Meter, str | None, str | None]
"""Model, tier, meter, size, quality."""


class PriceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row as it stands in a price file. Only model, meter, unit and usd have no default."""

    model: str
    meter: str
    unit: str
    usd: str
    provider: str = DEFAULT_PROVIDER
    service_tier: str = "standard"
    size: str | None = None
    quality: str | None = None
    effective_from: date | None = None
    effective_to: date | None = None
    kind: str = "price"
    confirmed: bool = False
    source: str = ""
    note: str = ""
    output_tokens: int | None = None

    @property
    def key(self) -> PriceKey:
        """What a later row must share to replace this one."""
        return (self.model, self.service_tier, METER_WORDS[self.meter], self.size, self.quality)


def read_rows(content: bytes, name: str) -> tuple[str, list[PriceRow]]:
    """The file's version and rows. Raises UsageError; `name` is what the message calls the file."""
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"price file {name} is not JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("rows"), list):
        raise UsageError(f'price file {name} needs the form {{"rows": [...]}}; see jobs/catalogue/prices.json')
    rows = [_read_row(row, f"price file {name}, row {number}") for number, row in enumerate(raw["rows"], 1)]
    return str(raw.get("version", "")), rows


def _read_row(raw: Any, where: str) -> PriceRow:
    try:
        row = msgspec.convert(raw, PriceRow)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}") from error
    if row.meter not in METER_WORDS:
        hint = nearest_word(row.meter, METER_WORDS) or ", ".join(METER_WORDS)
        raise UsageError(f"{where}: field meter: {row.meter!r} is not a meter; nearest: {hint}")
    if row.unit != ("image" if row.meter == "image" else "1M tokens"):
        raise UsageError(f"{where}: field unit: {row.unit!r} does not go with meter {row.meter}")
    if row.kind not in ("price", "estimate"):
        raise UsageError(f"{where}: field kind: {row.kind!r} must be price or estimate")
    if row.output_tokens is not None and not 0 <= row.output_tokens <= 10**9:
        raise UsageError(f"{where}: field output_tokens: {row.output_tokens} is not a token count")
    nano_per_million(row, where)
    return row


def nano_per_million(row: PriceRow, where: str = "price row") -> int:
    """The row's dollars as nano-dollars per million tokens or images, exactly; else UsageError."""
    try:
        rate = Decimal(row.usd) * _UNITS[row.unit]
        whole = rate == rate.to_integral_value()
    except InvalidOperation as error:
        raise UsageError(f"{where}: field usd: {row.usd!r} is not an amount in dollars") from error
    if not whole or not 0 <= rate <= _MAX_RATE:
        raise UsageError(f"{where}: field usd: {row.usd!r} is negative, too large or has too many digits")
    return int(rate)


def refuse_twins(rows: Iterable[PriceRow], name: str) -> None:
    """Raise UsageError when two rows would hold from the same day for the same thing."""
    seen: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(rows, 1):
        first = seen.setdefault((row.kind, row.effective_from, *row.key), number)
        if first != number:
            raise UsageError(f"price file {name}, row {number}: field effective_from: same as row {first}")
