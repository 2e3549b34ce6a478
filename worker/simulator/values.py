"""What passes between the parts of the simulator: a call that came in, and what was decided about it.

The server makes Arrivals and delivers Replies; the endpoint makes Verdicts and books them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.simulator.faults import Plan
from worker.simulator.pictures import Picture
from worker.simulator.request import ImageRequest


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call as it came in."""

    headers: Mapping[str, str]
    body: bytes
    base_url: str
    """Scheme and host by which the caller reached the simulator; picture URLs begin with it."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """One call that was let in: what it asks for and what is to happen to it."""

    arrival: Arrival
    request_id: str
    request: ImageRequest
    plan: Plan

    @property
    def created(self) -> int:
        """Unix seconds, as answers show them."""
        return int(self.arrival.at.timestamp())


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back, and how it is to be spoiled on the way."""

    request_id: str
    status: int | None
    """None: nothing is answered."""
    chunks: tuple[bytes, ...] = ()
    """The body; those of a stream are its events, sent one after another."""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    silence: str | None = None
    """timeout, reset or close: how the call ends without an answer."""
    spoils: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A Reply with what the journal says of it."""

    reply: Reply
    request: ImageRequest | None = None
    """None for a call that was turned away before its body was understood."""
    fault: str = ""
    billed: bool = False
    usage: dict[str, Any] | None = None
    amount_nanodollars: int = 0
    pictures: tuple[Picture, ...] = ()
    """Those the answer carries, or links to."""
    replay_of: str | None = None
    """The call whose answer this one repeats for the same Idempotency-Key."""
