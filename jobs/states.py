"""The lifecycle: what a batch, a job and an attempt can be, and which moves exist.

Every table, command and report uses these words. The ledger makes the moves, each with one guarded
statement; this module only says which there are.

    batch     loading -> open <-> paused -> done | cancelled          (retry: done -> open)

    job       queued -> running -> succeeded | failed | refused | held | cancelled
                ^          |
                +----------+   retry, with a due time

    attempt   (open) -> one Outcome;   unknown -> succeeded | image_lost | ... (late answer)
                                       unknown -> billed_lost | not_billed     (books or operator)
                                       billed_lost, not_billed -> succeeded | image_lost   (a paid answer after all)
"""

from enum import StrEnum


class BatchState(StrEnum):
    """One submitted manifest with its settings."""

    LOADING = "loading"
    """Rows are being staged. Dispatch ignores it; a killed submit leaves it behind and it never runs."""
    OPEN = "open"
    """Workers admit its due jobs. Pause, cancel or the last job's end moves it on."""
    PAUSED = "paused"
    """Nothing is admitted; calls in flight end and settle. `resume` moves it on."""
    DONE = "done"
    """No job is queued or running. `retry` opens it again."""
    CANCELLED = "cancelled"
    """Queued jobs were cancelled; calls in flight at that moment still settle."""


class JobState(StrEnum):
    """One row of a manifest: one request for n images."""

    QUEUED = "queued"
    """Waits for its due time and for admission. A crash changes nothing."""
    RUNNING = "running"
    """Has one open attempt. If its worker dies, the sweep makes the attempt `unknown`."""
    SUCCEEDED = "succeeded"
    """Images stored and verified. Final."""
    FAILED = "failed"
    """Attempts or time used up, or the request can never work. `retry --failed` queues it again."""
    REFUSED = "refused"
    """The provider's safety system said no. Never retried by itself."""
    HELD = "held"
    """An attempt may have been paid for: waits for a decision (`retry --held`)."""
    CANCELLED = "cancelled"
    """Cancelled before it was admitted. Final."""


UNFINISHED = frozenset({JobState.QUEUED, JobState.RUNNING})
"""Job states that keep a batch from being done."""


class Outcome(StrEnum):
    """How an attempt ended; a NULL outcome in the ledger is an open attempt, its ceiling reserved."""

    SUCCEEDED = "succeeded"
    """Images stored and verified. Charged by usage, else by table."""
    REFUSED = "refused"
    """Moderation or policy refusal. Freed, or charged where usage says so."""
    REJECTED = "rejected"
    """The request or the account is wrong. Freed; account trouble also pauses the endpoint."""
    THROTTLED = "throttled"
    """Rate limit or overload, answered before work. Freed; does not count against the attempt limit."""
    ERRORED = "errored"
    """Connection never made, or an error the API itself reported. Freed."""
    UNKNOWN = "unknown"
    """Sent, and the outcome was not seen: maybe paid. The ceiling stays reserved as possible."""
    IMAGE_LOST = "image_lost"
    """A paid answer without a usable image. Charged."""
    NOT_SENT = "not_sent"
    """Admitted, but provably never sent. Freed; does not count against the attempt limit."""
    BILLED_LOST = "billed_lost"
    """Was unknown; the provider's books show a bill. Charged."""
    NOT_BILLED = "not_billed"
    """Was unknown; the provider's books show none. Freed."""


CHARGED = frozenset({Outcome.SUCCEEDED, Outcome.IMAGE_LOST, Outcome.BILLED_LOST})
"""Outcomes that are paid for whether or not the answer carried usage."""

RESOLVED = frozenset({Outcome.BILLED_LOST, Outcome.NOT_BILLED})
"""How a doubt was resolved by the books or a person. A paid answer that turns up after all overrules them."""

COUNTED = frozenset(
    {Outcome.SUCCEEDED, Outcome.REFUSED, Outcome.REJECTED, Outcome.ERRORED, Outcome.UNKNOWN, Outcome.IMAGE_LOST}
)
"""Outcomes that use up one of a job's attempts."""
