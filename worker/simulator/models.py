"""The models this endpoint has, and what each of them takes.

The simulator's own table, kept apart from the catalogue of imagemill on purpose: ledger and journal
agree to the nano-dollar only because two tables, written apart, say the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

COMMON = frozenset({"prompt", "model", "n", "size", "quality", "user"})
GPT = COMMON | {
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "stream",
    "partial_images",
    "safety_identifier",
}
GIF_AND_SVG = frozenset({"complexity", "frame_count", "frame_duration_ms", "svg"})


@dataclass(frozen=True, slots=True)
class Family:
    """What the models of one family have in common."""

    fields: frozenset[str]
    sizes: tuple[str, ...] | None
    """The sizes taken, or None for the rule of multiples of 16."""
    qualities: tuple[str, ...]
    auto_quality: str
    """What the quality becomes when the caller leaves it open."""
    prompt_max: int = 32_000
    """Characters."""
    n_max: int = 10
    formats: tuple[str, ...] = ("png", "jpeg", "webp")
    factors: Mapping[str, int] = field(default_factory=dict)
    """Factor of the token formula by quality; empty where a table counts instead."""

    @property
    def is_gpt(self) -> bool:
        return "stream" in self.fields


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    family: Family
    text_nanodollars: int
    """Price of one input token; 0 for models billed by the image."""
    image_nanodollars: int
    """Price of one output token; 0 for models billed by the image."""
    api_start: date
    shutdown_date: date | None = None

    def retired(self, today: date) -> bool:
        return self.shutdown_date is not None and self.shutdown_date <= today


TALL_AND_WIDE = ("1024x1024", "1536x1024", "1024x1536", "auto")
LOW_TO_HIGH = ("low", "medium", "high", "auto")
LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max", "auto")

DALLE2 = Family(
    fields=COMMON | {"response_format"},
    sizes=("256x256", "512x512", "1024x1024"),
    qualities=("standard",),
    auto_quality="standard",
    prompt_max=1000,
    formats=("png",),
)
DALLE3 = Family(
    fields=COMMON | {"response_format", "style"},
    sizes=("1024x1024", "1792x1024", "1024x1792"),
    qualities=("standard", "hd", "auto"),
    auto_quality="standard",
    prompt_max=4000,
    n_max=1,
    formats=("png",),
)
GPT1 = Family(fields=GPT, sizes=TALL_AND_WIDE, qualities=LOW_TO_HIGH, auto_quality="medium")
GPT2 = Family(
    fields=GPT,
    sizes=None,
    qualities=LOW_TO_HIGH,
    auto_quality="medium",
    factors={"low": 16, "medium": 48, "high": 96},
)
GPT25 = Family(
    fields=GPT,
    sizes=None,
    qualities=LOW_TO_MAX,
    auto_quality="medium",
    factors={"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
)
# No formula is known for 2.6; these factors come near the few counts that were measured.
GPT26 = Family(
    fields=GPT | GIF_AND_SVG,
    sizes=None,
    qualities=LOW_TO_MAX,
    auto_quality="medium",
    formats=("png", "jpeg", "webp", "gif", "svg"),
    factors={"low": 32, "medium": 44, "high": 48, "xhigh": 64, "max": 96},
)

_DALLE_END = date(2026, 5, 12)
_NEXT_END = date(2026, 12, 1)
_ROWS = (
    Model("dall-e-2", DALLE2, 0, 0, date(2022, 11, 3), _DALLE_END),
    Model("dall-e-3", DALLE3, 0, 0, date(2023, 11, 6), _DALLE_END),
    Model("gpt-image-1", GPT1, 5_000, 40_000, date(2025, 4, 23), date(2026, 10, 23)),
    Model("gpt-image-1-mini", GPT1, 2_000, 8_000, date(2025, 10, 6), _NEXT_END),
    Model("gpt-image-1.5", GPT1, 5_000, 32_000, date(2025, 12, 16), _NEXT_END),
    Model("gpt-image-1.5-2025-12-16", GPT1, 5_000, 32_000, date(2025, 12, 16), _NEXT_END),
    Model("chatgpt-image-latest", GPT1, 5_000, 32_000, date(2025, 12, 16), _NEXT_END),
    Model("gpt-image-2", GPT2, 5_000, 30_000, date(2026, 4, 21)),
    Model("gpt-image-2-2026-04-21", GPT2, 5_000, 30_000, date(2026, 4, 21)),
    Model("gpt-image-2.5-flare", GPT25, 5_000, 30_000, date(2026, 9, 8)),
    Model("gpt-image-2.5-flare-2026-09-08", GPT25, 5_000, 30_000, date(2026, 9, 8)),
    Model("gpt-image-2.5-sunburst", GPT25, 5_000, 30_000, date(2026, 9, 8)),
    Model("gpt-image-2.5-sunburst-2026-09-08", GPT25, 5_000, 30_000, date(2026, 9, 8)),
    Model("gpt-image-2.6-flare", GPT26, 5_000, 30_000, date(2026, 11, 4)),
    Model("gpt-image-2.6-sunburst", GPT26, 5_000, 30_000, date(2026, 11, 4)),
)
MODELS = {model.id: model for model in _ROWS}
