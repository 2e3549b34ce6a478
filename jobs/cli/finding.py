"""One line of `doctor`, which every examination yields."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`bad` must be put right, `look` is worth knowing."""

    what: str
    verdict: Literal["ok", "look", "bad"]
    told: str
