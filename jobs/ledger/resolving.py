"""Resolving doubts: a person or the provider's books say what an unknown call cost, and that is written down.

`resolve_named` does what a person asked for, wholly or not at all; `resolve_listed` what the books say of calls
that are still in doubt by then. Either is one transaction, its act among it. The batches are locked first, so that
admission and settlement see either all of it or nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select, update

from jobs.errors import UsageError
from jobs.ledger import clock
from jobs.ledger.acts import Act, record
from jobs.ledger.doubts import Doubt, in_pieces, read_doubts
from jobs.ledger.endings import Ending, JobFacts
from jobs.ledger.schema import attempts, batches
from jobs.ledger.settlement import settle
from jobs.money import Cost
from jobs.states import BatchState, JobState, Outcome

_MOST_NAMED = 10
_MESSAGE_CHARACTERS = 500

Amounts = Mapping[str, int | None]
"""{attempt: what it was billed, in nano-dollars; None: it was not}"""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a resolution did."""

    attempts: int = 0
    billed_nano: int = 0
    freed_nano: int = 0
    """Possible money that is nobody's any more."""
    jobs_failed: int = 0
    queued: Mapping[str, int] | None = None
    """{batch: jobs queued again}"""


def complaints(doubts: Sequence[Doubt], now: int, *, freeing: bool) -> Iterator[str]:
    """Why these attempts cannot be resolved, a sentence each; `freeing`: as not billed."""
    for doubt in doubts:
        if doubt.outcome is None:
            yield f"{doubt.attempt_id} is in flight: its worker or the sweep will end it"
        elif doubt.outcome != Outcome.UNKNOWN:
            yield f"{doubt.attempt_id} is {doubt.outcome}, not unknown: there is nothing to resolve"
        elif freeing and now <= doubt.freeable_at:
            yield (
                f"{doubt.attempt_id} may still be sent by a process that was stopped: "
                f"--not-billed is possible from {clock.iso(doubt.freeable_at)}"
            )


def resolve_named(tx: Connection, amounts: Amounts, act: Act, *, again: bool) -> Resolved:
    """Resolve exactly these attempts, or raise UsageError that names those that cannot be. `again` queues the jobs
    that waited for it; else they fail."""
    doubts = _locked(tx, list(amounts))
    now = clock.now(tx)
    told = [
        sentence
        for freeing in (True, False)
        for sentence in complaints(
            [one for one in doubts if (amounts[one.attempt_id] is None) is freeing], now, freeing=freeing
        )
    ]
    if told:
        raise UsageError(refusal(told))
    return _resolve(tx, doubts, amounts, act, "operator", again=again)


def resolve_listed(tx: Connection, amounts: Amounts, act: Act, *, again: bool) -> Resolved:
    """Resolve those of the attempts that are still in doubt; an answer may have come in the meantime."""
    doubts = [one for one in _locked(tx, list(amounts)) if one.outcome == Outcome.UNKNOWN]
    return _resolve(tx, doubts, amounts, act, "books", again=again) if doubts else Resolved()


def refusal(told: Sequence[str]) -> str:
    more = f"\nand {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    return "nothing was changed:\n" + "\n".join(told[:_MOST_NAMED]) + more


def lock_batches(tx: Connection, attempt_ids: Sequence[str]) -> None:
    """Keep admission and settlement out of the attempts' batches."""
    theirs: set[str] = set()
    for piece in in_pieces(attempt_ids):
        theirs.update(tx.execute(select(attempts.c.batch_id).where(attempts.c.id.in_(piece))).scalars())
    tx.execute(select(batches.c.id).where(batches.c.id.in_(theirs)).order_by(batches.c.id).with_for_update())


def _locked(tx: Connection, attempt_ids: Sequence[str]) -> list[Doubt]:
    lock_batches(tx, attempt_ids)
    return read_doubts(tx, attempt_ids)


def _resolve(
    tx: Connection, doubts: Sequence[Doubt], amounts: Amounts, act: Act, said_by: str, *, again: bool
) -> Resolved:
    endings = [_ending(one, amounts[one.attempt_id], act.evidence or "", said_by, again) for one in doubts]
    for piece in in_pieces(endings):
        settle(tx, piece, _never)
    moved = _moved(tx, doubts)
    queued = {batch_id: states.count(JobState.QUEUED) for batch_id, states in moved.items()}
    _open(tx, [batch_id for batch_id, jobs_queued in queued.items() if jobs_queued])
    done = Resolved(
        attempts=len(doubts),
        billed_nano=sum(amounts[one.attempt_id] or 0 for one in doubts),
        freed_nano=sum(one.ceiling_nano for one in doubts if amounts[one.attempt_id] is None),
        jobs_failed=sum(states.count(JobState.FAILED) for states in moved.values()),
        queued={batch_id: number for batch_id, number in queued.items() if number},
    )
    record(tx, _told(act, doubts, done))
    return done


def _ending(doubt: Doubt, billed_nano: int | None, evidence: str, said_by: str, again: bool) -> Ending:
    """The resolution beside all that was known of the call."""
    outcome = Outcome.NOT_BILLED if billed_nano is None else Outcome.BILLED_LOST
    known = doubt.evidence
    words = f"{evidence}; it was in doubt by {known['error_kind']}: {known['error_message'] or ''}"
    return Ending(
        doubt.attempt_id,
        outcome,
        http_status=known["http_status"],
        request_id=known["request_id"],
        error_kind=outcome.value,
        error_message=words[:_MESSAGE_CHARACTERS],
        usage=None if known["usage"] is None else json.loads(known["usage"]),
        facts={**json.loads(known["facts"] or "{}"), "doubt": known["error_kind"]},
        duration_ms=known["duration_ms"],
        cost=None if billed_nano is None else Cost.stated(billed_nano),
        price_book=said_by,
        retryable=again,
    )


def _never(_job: JobFacts, _ending: Ending) -> int | None:
    """Resolutions ask no retry policy."""
    return None


def _moved(tx: Connection, doubts: Sequence[Doubt]) -> dict[str, list[JobState]]:
    """{batch: the states into which the jobs that had waited for the resolution moved}"""
    now = {(one.batch_id, one.row): one.job_state for one in read_doubts(tx, [one.attempt_id for one in doubts])}
    held = {(one.batch_id, one.row) for one in doubts if one.job_state is JobState.HELD}
    moved: dict[str, list[JobState]] = {}
    for batch_id, row in held:
        moved.setdefault(batch_id, []).append(now[batch_id, row])
    return moved


def _open(tx: Connection, batch_ids: Sequence[str]) -> None:
    ended = batches.c.state.in_([BatchState.DONE, BatchState.CANCELLED])
    opened = update(batches).where(batches.c.id.in_(batch_ids), ended)
    tx.execute(opened.values(state=BatchState.OPEN.value, ended_at=None))


def _told(act: Act, doubts: Sequence[Doubt], done: Resolved) -> Act:
    theirs = sorted({one.batch_id for one in doubts})
    facts: dict[str, Any] = {
        "attempts": [one.attempt_id for one in doubts],
        "billed_nanodollars": done.billed_nano,
        "freed_nanodollars": done.freed_nano,
        "jobs_failed": done.jobs_failed,
        "jobs_queued": sum((done.queued or {}).values()),
    }
    return replace(act, batch_id=theirs[0] if len(theirs) == 1 else act.batch_id, what={**act.what, **facts})
