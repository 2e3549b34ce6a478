"""What passes between the executor and the endpoint client: a call to make, and the answer to it.

Plain values. The executor makes a Call of an admitted attempt; the endpoint client
returns an Answer, always, whatever happened; the spool writes Answers down and reads them back.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from jobs.ledger.admission import Admitted
from jobs.states import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted attempt, ready for the wire."""

    attempt_id: str
    idempotency_key: str
    body: bytes
    """The request as UTF-8 JSON, sent as it is."""
    model: str
    n: int
    stream: bool

    @classmethod
    def of(cls, admitted: Admitted) -> Self:
        return cls(
            attempt_id=admitted.attempt_id,
            idempotency_key=admitted.idempotency_key,
            body=admitted.request.encode(),
            model=admitted.model,
            n=admitted.n,
            stream=bool(msgspec.json.decode(admitted.request).get("stream")),
        )


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    """One image file of an answer, complete on disk but not yet fsynced."""

    index: int
    part: str
    """File name of the part inside the spool folder."""
    sha256: str
    bytes: int
    format: str
    """png, jpeg, webp, gif or svg, decided by the magic bytes."""
    width: int | None
    height: int | None
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Account trouble: nothing more may be sent until a person resumes."""

    model: str | None
    """None: the whole key. A name: this model only."""
    kind: str
    """For example billing_hard_limit_reached, insufficient_quota, invalid_api_key, permission_denied."""
    message: str


@dataclass(frozen=True, slots=True)
class RateFacts:
    """What the answer's headers said of limits; None where they said nothing. Times in seconds from now."""

    retry_after_s: float | None = None
    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None
    limit_images: int | None = None
    remaining_images: int | None = None
    reset_images_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How one call ended. `outcome` never is billed_lost or not_billed: those are a person's or the books'."""

    attempt_id: str
    outcome: Outcome
    http_status: int | None = None
    request_id: str | None = None
    error_kind: str | None = None
    """Stable word for reports: the API's code if it gave one, else ours (read_timeout, connect_failed, ...)."""
    error_message: str | None = None
    """At most 500 characters, scrubbed of the API key, control characters kept out."""
    images: tuple[ReceivedImage, ...] = ()
    usage: dict[str, Any] | None = None
    """The answer's usage object as it came."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The small rest of the answer: created, size, quality, background, output_format, unknown fields."""
    retryable: bool = False
    """May a further attempt succeed? Decided from code, type, words, status and x-should-retry."""
    rate: RateFacts = RateFacts()
    pause: Pause | None = None
    seconds: float = 0.0
    """From the first byte sent to the end of the answer, downloads included."""
