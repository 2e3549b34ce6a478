"""What a simulator is told: where to listen, how fast to answer, what to break, what to write down.

Built by the command, by tests and by benchmarks; `changed` makes the new configuration when POST
/sim/config changes a running one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from msgspec import convert

FIXED = frozenset({"host", "port", "journal"})
"""Settings that a running simulator cannot change."""


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port; the URL printed or returned names it."""
    seed: int = 0
    """Decides latencies and drawn faults, together with the prompt and its ordinal."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys that are let in; empty lets in every key, but never a call without one."""

    latency_s: float = 0.02
    """Median of the answer time."""
    latency_sigma: float = 0.0
    """Lognormal spread of it; 0 makes every answer take exactly `latency_s`."""
    latency_scale: float | None = None
    """Instead of the two above: lognormals by quality as measured on the real models, times this."""

    fault_rates: Mapping[str, float] = field(default_factory=dict)
    """Probability of a fault per call, by its words in the marker language, e.g. {"429 0.5": 0.1}."""
    retry_after_s: float = 1.0
    """Advice that 429, 503 and 529 give where the marker names none."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    tokens_per_minute: int | None = None
    burst: bool = True
    """True lets a minute's allowance be spent at once; False a second's."""
    limits_told: Literal["headers", "advice", "nothing"] = "headers"
    """What is said of the limits: x-ratelimit headers and when to come back, only the latter, or 429 alone."""

    pictures: Literal["drawn", "prerendered"] = "drawn"
    """Drawn pictures show their prompt; prerendered ones are made once per size and sent to everybody."""
    image_bytes: int = 1_500_000
    """Size of a prerendered picture file; a plain picture of more bytes stays as it is."""
    gpt_image_urls: bool = False
    """Answer GPT image models by url, as some gateways do."""
    url_ttl_s: float = 3600.0
    public_url: str | None = None
    """Base of the picture URLs; None takes the host that the caller named."""

    honour_idempotency_keys: bool = False
    """A key seen before gets the first answer again, unbilled."""
    refuse_retired: bool = False
    """Answer models past their shutdown date with model_not_found."""
    journal: Path | Literal["memory"] | None = "memory"
    """File to append to; "memory" keeps the lines for /sim/journal only; None keeps none."""

    def changed(self, changes: Mapping[str, Any]) -> "SimulatorConfig":
        """This configuration with some fields replaced. Raises ValueError for a wrong name or type."""
        known = {item.name for item in fields(self)} - FIXED
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"cannot change {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        types = get_type_hints(type(self))
        return replace(self, **{name: convert(value, types[name]) for name, value in changes.items()})

    def shown(self) -> dict[str, Any]:
        """All fields as JSON values, the keys only by their number."""
        values = asdict(self)
        values["api_keys"] = len(self.api_keys)
        values["journal"] = None if self.journal is None else str(self.journal)
        return values
