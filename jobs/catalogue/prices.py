"""The price book: dated prices by model, tier and meter, from prices.json and the user's own file over it.

Money asks here, and only here. Rates are integers: nano-dollars per million units. A price holds from its
first day until a later row of the same key replaces it, so last quarter's report repeats to the nano-dollar.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Self

from jobs.catalogue.matrix import find_model
from jobs.catalogue.pricefile import (
    DEFAULT_PROVIDER,
    METER_WORDS,
    Meter,
    PriceKey,
    PriceRow,
    nano_per_million,
    read_rows,
    refuse_twins,
)
from jobs.errors import UsageError

__all__ = ["Meter", "PriceBook", "Rate"]

_Published = dict[str, dict[tuple[str, str], int]]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one meter costs from one day on."""

    nano_per_million: int
    meter: Meter
    unit: str
    row_key: str
    """Names the row this came from: provider/model/tier/meter/size/quality/first day."""
    laid_over: bool
    """From the user's own file."""


@dataclass(frozen=True, slots=True)
class _Series:
    """The rates of one key, by first day."""

    days: tuple[date, ...]
    rates: tuple[Rate, ...]

    def on(self, day: date) -> Rate | None:
        found = bisect_right(self.days, day)
        return self.rates[found - 1] if found else None


@dataclass(frozen=True, slots=True, eq=False)
class PriceBook:
    """Compared and hashed by identity, so that quotes may be cached per book."""

    version: str
    """The date of the built-in prices; with a file over them also a short hash of that file."""
    _series: Mapping[PriceKey, _Series] = field(repr=False)
    _tokens: _Published = field(repr=False)

    @classmethod
    def load(cls, overlay: Path | None = None, provider: str = DEFAULT_PROVIDER) -> Self:
        """The built-in prices of `provider`, and the file's rows, of any provider, over them.

        From the first day of an overlay row on, no built-in row of the same key counts.
        Raises UsageError that names file, row and field.
        """
        if overlay is None:
            return cls.build(provider=provider)
        try:
            return cls.build(overlay.read_bytes(), str(overlay), provider)
        except OSError as error:
            raise UsageError(f"price file {overlay} cannot be read: {error.strerror}") from error

    @classmethod
    def build(cls, overlay: bytes | None = None, name: str = "overlay", provider: str = DEFAULT_PROVIDER) -> Self:
        """As `load`, from bytes already read."""
        content = resources.files("jobs.catalogue").joinpath("prices.json").read_bytes()
        version, rows = read_rows(content, "prices.json")
        built_in = [row for row in rows if row.provider == provider]
        own: list[PriceRow] = []
        if overlay is not None:
            own = read_rows(overlay, name)[1]
            refuse_twins(own, name)
            version = f"{version}+{hashlib.sha256(overlay).hexdigest()[:8]}"
        rates, own_rates = _by_key(built_in, laid_over=False), _by_key(own, laid_over=True)
        published = _published(built_in, rates)
        for model, counts in _published(own, rates | own_rates).items():
            published.setdefault(model, {}).update(counts)
        return cls(version, _merge(rates, own_rates), published)

    def rate(
        self,
        model: str,
        meter: Meter,
        day: date,
        tier: str = "standard",
        *,
        size: str | None = None,
        quality: str | None = None,
    ) -> Rate | None:
        """The rate in force on `day`; rows without size or quality hold for every size or quality.

        A dated snapshot without a row of its own costs what its undated model costs.
        """
        for name in self._names(model):
            for shape in ((size, quality), (size, None), (None, quality), (None, None)):
                series = self._series.get((name, tier, meter, *shape))
                if series is not None and (rate := series.on(day)) is not None:
                    return rate
        return None

    def dearest(
        self,
        model: str,
        meter: Meter,
        day: date,
        tier: str = "standard",
        *,
        size: str | None = None,
        quality: str | None = None,
    ) -> Rate | None:
        """The highest rate in force that could apply; None as size or quality means any of them."""
        for name in self._names(model):
            rates = [
                rate
                for key, series in self._series.items()
                if key[:3] == (name, tier, meter) and _covers(key, size, quality) and (rate := series.on(day))
            ]
            if rates:
                return max(rates, key=lambda rate: rate.nano_per_million)
        return None

    def published_tokens(self, model: str) -> Mapping[tuple[str, str], int]:
        """(size, quality) -> image output tokens of one image, where a figure was published."""
        return self._tokens.get(model, {})

    def models(self) -> frozenset[str]:
        """Every model name that has a price row."""
        return frozenset(key[0] for key in self._series)

    @staticmethod
    def _names(model: str) -> Iterator[str]:
        yield model
        known = find_model(model)
        if known is not None and known.snapshot_of is not None:
            yield known.snapshot_of


def _covers(key: PriceKey, size: str | None, quality: str | None) -> bool:
    size_fits = size is None or key[3] in (None, size)
    return size_fits and (quality is None or key[4] in (None, quality))


def _by_key(rows: Iterable[PriceRow], *, laid_over: bool) -> dict[PriceKey, dict[date, Rate]]:
    found: dict[PriceKey, dict[date, Rate]] = {}
    for row in rows:
        if row.kind == "price":
            first_day = row.effective_from or date.min
            found.setdefault(row.key, {})[first_day] = _rate(row, first_day, laid_over=laid_over)
    return found


def _rate(row: PriceRow, first_day: date, *, laid_over: bool) -> Rate:
    meter = METER_WORDS[row.meter]
    parts = (row.provider, row.model, row.service_tier, meter.value, row.size, row.quality)
    row_key = "/".join([*(part or "-" for part in parts), first_day.isoformat()])
    return Rate(nano_per_million(row), meter, row.unit, row_key, laid_over)


def _merge(
    built_in: dict[PriceKey, dict[date, Rate]], own: dict[PriceKey, dict[date, Rate]]
) -> dict[PriceKey, _Series]:
    merged: dict[PriceKey, _Series] = {}
    for key in built_in.keys() | own.keys():
        over = own.get(key, {})
        until = min(over, default=date.max)
        rates = {day: rate for day, rate in built_in.get(key, {}).items() if day < until} | over
        merged[key] = _Series(tuple(sorted(rates)), tuple(rates[day] for day in sorted(rates)))
    return merged


def _published(rows: Iterable[PriceRow], rates: Mapping[PriceKey, Mapping[date, Rate]]) -> _Published:
    """Tokens behind the estimate rows; where only dollars were published, the tokens they would buy."""
    found: _Published = {}
    for row in rows:
        if row.kind == "estimate" and row.size is not None and row.quality is not None:
            tokens = row.output_tokens if row.output_tokens is not None else _tokens_bought(row, rates)
            if tokens is not None:
                found.setdefault(row.model, {})[row.size, row.quality] = tokens
    return found


def _tokens_bought(row: PriceRow, rates: Mapping[PriceKey, Mapping[date, Rate]]) -> int | None:
    dated = rates.get((row.model, row.service_tier, Meter.IMAGE_OUT, None, None), {})
    days = [day for day in dated if day <= (row.effective_from or date.max)]
    rate = dated[max(days)].nano_per_million if days else 0
    return -(-nano_per_million(row) // rate) if rate else None
