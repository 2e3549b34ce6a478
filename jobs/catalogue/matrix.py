"""What each known model accepts: models.json read into frozen values.

Manifest checks, prices and forecasts ask here; models are data, so a new one needs no code. A model
that is not in the matrix is not wrong, only unknown: `find_model` answers None and callers warn.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

AUTO = "auto"
_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One request field as every model that takes it understands it."""

    name: str
    type: Literal["string", "integer", "boolean", "object"]
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Free WIDTHxHEIGHT within bounds; edges in pixels, `max_ratio` is long edge : short edge."""

    multiple_of: int
    max_ratio: int
    max_edge: int
    min_pixels: int
    max_pixels: int
    gif_edges: tuple[tuple[int, int], ...]
    """(most frames, longest square edge) in rising order: all frames share one sheet."""

    def fault(self, width: int, height: int) -> str | None:
        """Why this size is not allowed for a still image, or None."""
        if width * height < self.min_pixels:
            return f"has {width * height:,} pixels, at least {self.min_pixels:,} are needed"
        return self._edge_fault(width, height)

    def gif_fault(self, width: int, height: int, frames: int) -> str | None:
        """The same for one frame of a GIF; the lower bound holds for the sheet, not for the frame."""
        edge = next((edge for most, edge in self.gif_edges if frames <= most), self.gif_edges[-1][1])
        if width * height > edge * edge:
            return f"is too large for {frames} frames, at most {edge}x{edge}"
        return self._edge_fault(width, height)

    def _edge_fault(self, width: int, height: int) -> str | None:
        if width % self.multiple_of or height % self.multiple_of:
            return f"has an edge that is not a multiple of {self.multiple_of}"
        if max(width, height) > self.max_edge:
            return f"has an edge over {self.max_edge} pixels"
        if max(width, height) > self.max_ratio * min(width, height):
            return f"is longer than {self.max_ratio} : 1"
        if width * height > self.max_pixels:
            return f"has {width * height:,} pixels, at most {self.max_pixels:,} are allowed"
        return None


@dataclass(frozen=True, slots=True)
class TokenRule:
    """Image output tokens by quality: a table by size, or a factor for the formula. One of them is empty."""

    table: Mapping[str, Mapping[str, int]]
    factors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Model:
    """One model name and what it takes."""

    id: str
    family: str
    api_start: date
    shutdown_date: date | None
    snapshot_of: str | None
    sizes: tuple[str, ...]
    """The legal sizes; empty where `size_rule` decides."""
    size_rule: SizeRule | None
    default_size: str
    qualities: tuple[str, ...]
    n_max: int
    prompt_max_chars: int
    accepts: frozenset[str]
    output_formats: tuple[str, ...]
    backgrounds: tuple[str, ...]
    returns: tuple[str, ...]
    returns_usage: bool
    returns_revised_prompt: bool
    estimate: str | None
    unconfirmed: tuple[str, ...]
    token_rule: TokenRule | None
    """The rule published for this model; None where there is none."""
    family_rule: TokenRule | None
    """The rule of its elder sister, a hint only."""

    @property
    def default_quality(self) -> str | None:
        """The quality that is billed when none is asked for; None where the model chooses."""
        return "standard" if "standard" in self.qualities else None

    def retired_on(self, day: date) -> bool:
        return self.shutdown_date is not None and self.shutdown_date <= day

    def doubt(self, field: str, value: object) -> str | None:
        """The matrix's own reservation about this field or value, if it has one."""
        for note in self.unconfirmed:
            words = re.split(r"[ ,]+", note.partition(":")[0])
            if field in words or value in words:
                return note
        return None


@dataclass(frozen=True, slots=True)
class Matrix:
    """All of models.json."""

    models: Mapping[str, Model]
    fields: Mapping[str, FieldRule]


@cache
def matrix() -> Matrix:
    """The matrix, read once."""
    raw = msgspec.json.decode(resources.files("jobs.catalogue").joinpath("models.json").read_bytes())
    estimates = {name: _token_rule(rule) for name, rule in raw["estimates"].items()}
    size_rules = {name: _size_rule(rule) for name, rule in raw["size_rules"].items()}
    models = {
        name: _model(name, row, size_rules=size_rules, estimates=estimates) for name, row in raw["models"].items()
    }
    return Matrix(models, {name: _field_rule(name, rule) for name, rule in raw["fields"].items()})


def find_model(name: str) -> Model | None:
    return matrix().models.get(name)


def nearest(name: str) -> str | None:
    """The known model whose name is most like `name`, if one is like it at all."""
    return nearest_word(name, matrix().models)


def nearest_word(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` most like `word`; case is not a difference."""
    lower = {candidate.lower(): candidate for candidate in words}
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def parse_size(text: str) -> tuple[int, int] | None:
    """`1024x1536` -> (1024, 1536) in pixels; None for anything else, `auto` included."""
    match = _SIZE.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def _field_rule(name: str, raw: dict[str, Any]) -> FieldRule:
    return FieldRule(
        name=name,
        type=raw["type"],
        choices=tuple(raw.get("enum", ())),
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        keys=tuple(raw.get("keys", ())),
    )


def _size_rule(raw: dict[str, Any]) -> SizeRule:
    gif_edges = tuple((step["max_frames"], step["edge"]) for step in raw["gif_max_square_edge_by_frames"])
    bounds = {name: raw[name] for name in ("multiple_of", "max_ratio", "max_edge", "min_pixels", "max_pixels")}
    return SizeRule(gif_edges=gif_edges, **bounds)


def _token_rule(raw: dict[str, Any]) -> TokenRule | None:
    if raw["kind"] == "price_book":
        return None
    return TokenRule(table=raw.get("image_output_tokens", {}), factors=raw.get("factor", {}))


def _model(
    name: str,
    raw: dict[str, Any],
    *,
    size_rules: Mapping[str, SizeRule],
    estimates: Mapping[str, TokenRule | None],
) -> Model:
    sizes = raw["sizes"]
    resolved = {
        "id": name,
        "sizes": () if isinstance(sizes, str) else sizes,
        "size_rule": size_rules[sizes] if isinstance(sizes, str) else None,
        "token_rule": estimates.get(raw["estimate"]),
        "family_rule": estimates.get(raw["family"]),
    }
    return msgspec.convert({**raw, **resolved}, Model)
