"""Calls whose outcome nobody saw, and saying what became of them, with the evidence for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from jobs.api.access import Reader
from jobs.api.dashboard.pages import Funding, see, show
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.ledger import clock
from jobs.ledger.acts import Act
from jobs.ledger.browsing import count_doubts, doubt_page
from jobs.ledger.doubts import Doubt, read_doubts
from jobs.ledger.resolving import complaints, refusal, resolve_named
from jobs.money import parse_dollars

router = APIRouter()

_PAGE = 50


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says of some calls."""

    attempts: tuple[str, ...]
    billed: bool
    amount_nano: int | None
    """What each was billed; None: its ceiling."""
    evidence: str
    again: bool

    def billed_nano(self, doubt: Doubt) -> int | None:
        """None: not billed."""
        if not self.billed:
            return None
        return doubt.ceiling_nano if self.amount_nano is None else self.amount_nano


@router.get("/doubts")
def doubts(
    request: Request,
    _caller: Reader,
    service: Serving,
    batch: str = "",
    after: str = "",
    resolved: int | None = None,
) -> Response:
    with service.ledger.read() as tx:
        lines = doubt_page(tx, batch or None, after, _PAGE + 1)
        number, possible_nano = count_doubts(tx)
        now = clock.now(tx)
    more = lines[_PAGE - 1].key if len(lines) > _PAGE else None
    told = {"batch": batch, "next": more, "number": number, "possible_nano": possible_nano}
    return show(request, "doubts.html", lines=lines[:_PAGE], now=now, resolved=resolved, **told)


@router.post("/doubts")
def resolve(
    request: Request,
    caller: Funding,
    service: Serving,
    attempt: Annotated[list[str], Form(default_factory=list)],
    verdict: Annotated[str, Form()] = "",
    amount: Annotated[str, Form()] = "",
    evidence: Annotated[str, Form()] = "",
    again: Annotated[bool, Form()] = False,
    sure: Annotated[bool, Form()] = False,
) -> Response:
    """First what it would do to money and jobs, then, once that was seen, doing it: to exactly these calls."""
    said = _verdict(attempt, verdict, amount, evidence, again=again)
    found = _resolvable(service, said)
    if not sure:
        sums = sum(said.billed_nano(one) or 0 for one in found), sum(one.ceiling_nano for one in found)
        return show(request, "resolve.html", said=said, doubts=found, billed_nano=sums[0], ceiling_nano=sums[1])
    amounts = {one.attempt_id: said.billed_nano(one) for one in found}
    act = Act(caller.name, "resolve", None, {}, said.evidence)
    done = service.ledger.write(resolve_named, amounts, act, again=said.again)
    for batch_id, jobs in (done.queued or {}).items():
        service.wake(batch_id, jobs)
    return see("/doubts", resolved=done.attempts)


def _verdict(attempts: list[str], verdict: str, amount: str, evidence: str, *, again: bool) -> Verdict:
    """Raises Problem 400 for what is not said, UsageError for an amount that is none."""
    lacking = (
        ("choose the calls that it is about", attempts),
        ("say whether they were billed", verdict in ("billed", "not_billed")),
        ("say how you know: the evidence is kept with the decision", evidence.strip()),
    )
    for told, there in lacking:
        if not there:
            raise Problem(400, "usage", told, next_="go back and complete the form")
    amount_nano = parse_dollars(amount) if amount.strip() and verdict == "billed" else None
    return Verdict(tuple(dict.fromkeys(attempts)), verdict == "billed", amount_nano, evidence.strip(), again)


def _resolvable(service: Service, said: Verdict) -> list[Doubt]:
    """Raises Problem 409 before it is asked whether one is sure, rather than after."""
    with service.ledger.read() as tx:
        found = read_doubts(tx, said.attempts)
        told = list(complaints(found, clock.now(tx), freeing=not said.billed))
    if told or len(found) != len(said.attempts):
        raise Problem(409, "conflict", refusal(told or ["a call is not there"]), next_="look at the doubts again")
    return found
