"""How a manifest is to be read: what the user said beside the file itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.errors import UsageError


@dataclass(frozen=True, slots=True)
class ManifestOptions:
    """Part of a batch's identity: the same file read otherwise is another batch."""

    map: Mapping[str, str] = field(default_factory=dict)
    """Field -> column, as in `--map prompt=Beschreibung`."""
    prompt_template: str | None = None
    """Prompt with {column} places; wins over a prompt column."""
    tag_columns: tuple[str, ...] = ()
    tags_from_rest: bool = False
    """Every column that is no field becomes a tag."""
    require_tags: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Request fields for rows that do not set them."""
    encoding: str | None = None
    """Of a CSV file without a byte order mark; None: UTF-8, strictly."""
    strict: bool = False
    """Warnings stop as errors do."""
    limit: int | None = None
    """Read no more than this many data rows."""


def parse_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """("id=SKU", ...) -> {"id": "SKU"}. Raises UsageError that names the option and the text."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip() or not value.strip():
            raise UsageError(f"{option} {text!r}: write it as NAME=VALUE")
        if name.strip() in pairs:
            raise UsageError(f"{option} {text!r}: {name.strip()} is given twice")
        pairs[name.strip()] = value.strip()
    return pairs
