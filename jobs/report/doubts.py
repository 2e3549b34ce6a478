"""What a resolution did, or would do, as JSON: the same fields on the command line and over HTTP."""

from collections.abc import Sequence
from typing import Any

from jobs.ledger.doubts import Doubt
from jobs.ledger.resolving import Amounts, Resolved


def would_resolve(doubts: Sequence[Doubt], amounts: Amounts) -> Resolved:
    """What resolving these would do to money; jobs move only when it is done."""
    billed_nano = sum(amount or 0 for amount in amounts.values())
    freed_nano = sum(one.ceiling_nano for one in doubts if amounts[one.attempt_id] is None)
    return Resolved(len(doubts), billed_nano, freed_nano)


def resolved_json(done: Resolved, *, dry_run: bool) -> dict[str, Any]:
    return {
        "attempts": done.attempts,
        "billed_nanodollars": done.billed_nano,
        "freed_nanodollars": done.freed_nano,
        "jobs_failed": done.jobs_failed,
        "jobs_queued": sum((done.queued or {}).values()),
        "dry_run": dry_run,
    }
