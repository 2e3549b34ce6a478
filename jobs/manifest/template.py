"""Prompt templates: text with {column} places, filled row by row.

Only plain places: no conversions, no format codes, no attribute walks. {{ and }} stand for braces.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Self

from jobs.catalogue.matrix import nearest_word
from jobs.errors import ManifestError, UsageError


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: pairs of literal text and the column that follows it (None at the end)."""

    pieces: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UsageError for unbalanced braces or anything but plain column names in them."""
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"prompt template {text!r}: {error}; write {{{{ for a brace") from error
        for _, name, spec, conversion in parsed:
            if name is not None and (not name.strip() or spec or conversion):
                raise UsageError(
                    f"prompt template {text!r}: write places as {{column}}, nothing else in the braces"
                )
        pieces = tuple((literal, name.strip() if name else None) for literal, name, _, _ in parsed)
        return cls(pieces)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.pieces if name))

    def require(self, known: Iterable[str]) -> None:
        """Raise ManifestError when a place names no known column."""
        known = dict.fromkeys(known)
        for name in self.columns:
            if name not in known:
                raise ManifestError(f"prompt template: {unknown_column(name, known)}")

    def empty_places(self, values: Mapping[str, str]) -> list[str]:
        """The columns this row leaves empty."""
        return [name for name in self.columns if not values.get(name, "").strip()]

    def fill(self, values: Mapping[str, str]) -> str:
        return "".join(literal + (values[name] if name else "") for literal, name in self.pieces)


def unknown_column(name: str, known: Iterable[str]) -> str:
    """The sentence for a column that is not there, with the nearest one that is."""
    known = [column for column in known if column]
    near = nearest_word(name, known)
    hint = f"the nearest is {near!r}; " if near else ""
    return f"there is no column {name!r}; {hint}columns are: {', '.join(known)}"
