"""The ledger beside the provider's books, call by call: which doubts they settle, which charges they contradict.

`compare` is the pure decision for one call. `comparisons` streams all calls of a batch, or of the ledger, in pages
of their own transactions; `settle_portion` acts on some of them in one. Memory grows with neither side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select

from jobs.ledger import clock
from jobs.ledger.acts import Act, record
from jobs.ledger.bill import Bill
from jobs.ledger.corrections import correct
from jobs.ledger.doubts import freeable_at
from jobs.ledger.engine import AnyRow, Ledger
from jobs.ledger.resolving import Resolved, resolve_listed
from jobs.ledger.schema import attempts
from jobs.states import Outcome

PAGE = 500


class Finding(StrEnum):
    """What the books say of one call."""

    AGREES = "agrees"
    BILLED = "billed"
    """A doubt that was billed."""
    NOT_BILLED = "not_billed"
    """A doubt that was not, and can be no more."""
    TOO_EARLY = "too_early"
    """A doubt that is not billed so far, but a process that was stopped could still send it."""
    CANNOT_TELL = "cannot_tell"
    """Not listed, in books that do not name every attempt, and its request id was never seen."""
    DIFFERS = "differs"
    """Charged otherwise than billed."""
    IN_FLIGHT = "in_flight"


@dataclass(frozen=True, slots=True)
class Compared:
    """One call beside the books. `billed_nano` None: not listed."""

    attempt_id: str
    batch_id: str
    finding: Finding
    charged_nano: int | None
    """None: not charged, or unpriced."""
    possible_nano: int
    billed_nano: int | None
    decided_by: str
    """The rule under which the ledger charged or freed it."""


def compare(row: AnyRow, billed_nano: int | None, now: int, *, names_every_attempt: bool) -> Finding:
    """`row` holds outcome, charged_nano, possible_nano, request_id and deadline_at of an attempt."""
    if row.outcome is None:
        return Finding.IN_FLIGHT
    doubtful = row.outcome == Outcome.UNKNOWN
    if not doubtful and (row.charged_nano or 0) == (billed_nano or 0) and not row.possible_nano:
        return Finding.AGREES
    if billed_nano is None and not names_every_attempt and not row.request_id:
        return Finding.CANNOT_TELL
    if not doubtful:
        return Finding.DIFFERS
    if billed_nano:
        return Finding.BILLED
    return Finding.NOT_BILLED if now > freeable_at(row) else Finding.TOO_EARLY


def comparisons(ledger: Ledger, bill: Bill, batch_id: str | None) -> Iterator[Compared]:
    """Every attempt of the batch, or of the ledger, in the order of their ids."""
    after = ""
    while True:
        with ledger.read() as tx:
            rows, now = _page(tx, batch_id, after), clock.now(tx)
        if not rows:
            return
        amounts = bill.amounts([(row.id, row.request_id) for row in rows])
        for row in rows:
            billed = amounts.get(row.id)
            found = compare(row, billed, now, names_every_attempt=bill.names_every_attempt)
            rule = decided_by(row.outcome, row.http_status, row.error_kind, row.priced_by, row.price_book)
            yield Compared(row.id, row.batch_id, found, row.charged_nano, row.possible_nano, billed, rule)
        after = rows[-1].id


def settle_portion(
    tx: Connection, portion: Sequence[Compared], act: Act, *, again: bool, correcting: bool
) -> tuple[Resolved, dict[str, int]]:
    """Resolve the doubts of the portion that the books settle; with `correcting`, bring the charges they contradict
    to what was billed. Returns what was resolved, and {attempt: nano-dollars added}."""
    doubts = {
        one.attempt_id: one.billed_nano if one.finding is Finding.BILLED else None
        for one in portion
        if one.finding in (Finding.BILLED, Finding.NOT_BILLED)
    }
    resolved = resolve_listed(tx, doubts, act, again=again) if doubts else Resolved()
    wrong = {one.attempt_id: one.billed_nano or 0 for one in portion if one.finding is Finding.DIFFERS}
    corrected = correct(tx, wrong) if correcting and wrong else {}
    if corrected:
        facts = {**act.what, "corrected": list(corrected), "added_nanodollars": sum(corrected.values())}
        record(tx, Act(act.who, act.verb, act.batch_id, facts, act.evidence))
    return resolved, corrected


_UNBILLED = frozenset({Outcome.ERRORED, Outcome.REJECTED, Outcome.THROTTLED, Outcome.REFUSED})


def decided_by(
    outcome: str | None, http_status: int | None, error_kind: str | None, priced_by: str | None, book: str | None
) -> str:
    """The rule that decided what a call was charged, in words for the person who has to doubt it."""
    if priced_by == "none":
        return f"{outcome}: no price in {book}"
    if priced_by is not None:
        return f"{outcome}: by {priced_by} at the prices of {book}"
    if outcome in _UNBILLED and http_status:
        rule = f"{outcome}: HTTP {http_status} {error_kind} counts as unbilled"
        return f"{rule} (IMAGEMILL_BILLED_ERRORS)" if outcome != Outcome.THROTTLED else rule
    return f"{outcome}: {error_kind or 'as resolved'}"


def _page(tx: Connection, batch_id: str | None, after: str) -> Sequence[AnyRow]:
    names = ("id", "batch_id", "outcome", "charged_nano", "possible_nano", "request_id", "deadline_at")
    rule = ("http_status", "error_kind", "priced_by", "price_book")
    columns = [attempts.c[name] for name in (*names, *rule)]
    statement = select(*columns).where(attempts.c.id > after).order_by(attempts.c.id).limit(PAGE)
    return tx.execute(statement if batch_id is None else statement.where(attempts.c.batch_id == batch_id)).all()
