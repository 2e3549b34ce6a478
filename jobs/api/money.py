"""/api/report, /api/budgets, /api/resolve, /api/acts: what it cost, what it may cost, and who decided."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from jobs import decide
from jobs.api import shapes
from jobs.api.access import Administrator, Reader, Treasurer
from jobs.api.finding import BatchId, require_batch, require_batch_of
from jobs.api.paging import Cursor, Limit, Row, cursor, json_response, page
from jobs.api.paging import after as behind
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.api.settings import Dollars, nano_of
from jobs.errors import UsageError
from jobs.ledger import resolving
from jobs.ledger.acts import Act, list_acts
from jobs.ledger.budgets import Scope, list_budgets, read_budget
from jobs.ledger.doubts import Doubt, read_doubts, unknown_of
from jobs.ledger.figures import Span
from jobs.report.budgets import budget_json
from jobs.report.costs import read_report, report_json
from jobs.report.doubts import resolved_json, would_resolve

router = APIRouter(tags=["money"], responses=shapes.PROBLEMS)

Id = Annotated[str, Field(min_length=1, max_length=40)]
_MOST_ATTEMPTS = 1_000
AttemptIds = Annotated[list[Id], Field(min_length=1, max_length=_MOST_ATTEMPTS)]
Evidence = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"[^\s]")]
_GROUPING = "^(day|model|batch|outcome|meter|tag:.+)$"


def _truth(value: object) -> object:
    """To Python 0 and 1 are false and true; to JSON they are not."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def day(name: str, told: str) -> Any:
    """The parameter of a UTC day."""
    pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
    return Query(alias=name, description=told, pattern=pattern, json_schema_extra={"format": "date"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class WideCap(_Strict):
    """The cap of everything, of each month or of each day."""

    scope: Literal["overall", "month", "day"]
    cap_dollars: Dollars | None = Field(description="null: no cap")


class TagCap(_Strict):
    scope: Literal["tag"]
    key: Annotated[str, Field(max_length=500, pattern=r"^[^=\s][^=]*=", description="KEY=VALUE")]
    cap_dollars: Dollars | None


class BatchCap(_Strict):
    scope: Literal["batch"]
    key: Annotated[Id, Field(description="of the batch")]
    cap_dollars: Dollars | None


class Verdict(_Strict):
    """Of calls in doubt: they were not paid for."""

    billed: Annotated[Literal[False], BeforeValidator(_truth)]
    evidence: Evidence
    retry: bool = Field(False, description="queue the jobs again; they fail otherwise")
    dry_run: bool = False


class BilledVerdict(Verdict):
    """They were paid for."""

    billed: Annotated[Literal[True], BeforeValidator(_truth)]  # type: ignore[assignment]  # the other of the two
    amount_dollars: Dollars | None = Field(None, description="of each call; its ceiling otherwise")


class NamedVerdict(Verdict):
    attempts: AttemptIds


class NamedBilledVerdict(BilledVerdict):
    attempts: AttemptIds


@router.get("/report", response_model=shapes.Report)
def report(
    service: Serving,
    _caller: Reader,
    batch: Annotated[str | None, Query(max_length=40)] = None,
    by: Annotated[str, Query(max_length=200, pattern=_GROUPING)] = "model",
    since: Annotated[str | None, day("from", "first UTC day")] = None,
    until: Annotated[str | None, day("to", "UTC day after the last")] = None,
) -> Response:
    """Cost and counts of a batch, or of the whole ledger, grouped: `imagemill report --json`."""
    span = Span(batch, _day(since), _day(until))
    with service.ledger.read() as tx:
        if batch is not None:
            require_batch(tx, batch)
        return json_response(report_json(read_report(tx, by, span)))


@router.get("/budgets", response_model=shapes.Budgets)
def budgets(service: Serving, _caller: Reader) -> Response:
    """Every cap in force, what is used of it, and the room that is left."""
    with service.ledger.read() as tx:
        return json_response({"budgets": [budget_json(one) for one in list_budgets(tx)]})


@router.put("/budgets", response_model=shapes.Budgets)
def set_budget(service: Serving, caller: Treasurer, cap: WideCap | TagCap | BatchCap) -> Response:
    """Set or lift a cap. A cap below what is used takes nothing back: it stops new calls."""
    scope, key = Scope(cap.scope), "" if isinstance(cap, WideCap) else cap.key
    if scope is Scope.BATCH:
        require_batch_of(service, key)
    decide.set_budget(service.ledger, caller.name, scope, key, nano_of(cap.cap_dollars))
    with service.ledger.read() as tx:
        found = read_budget(tx, scope, key)
    return json_response({"budgets": [budget_json(found)] if found else []})


@router.post("/attempts/resolve", response_model=shapes.Resolved)
def resolve_attempts(service: Serving, caller: Treasurer, told: NamedBilledVerdict | NamedVerdict) -> Response:
    """Say what became of these calls, whose outcome nobody saw: of all or of none. 409: one of them cannot be
    resolved (so)."""
    with service.ledger.read() as tx:
        doubts = read_doubts(tx, sorted(set(told.attempts)))
    missing = sorted(set(told.attempts) - {one.attempt_id for one in doubts})
    if missing:
        raise Problem(404, "no_such_attempt", f"there is no attempt {missing[0]}; nothing was changed")
    return _resolve(service, doubts, told, Act(caller.name, "resolve", None, evidence=told.evidence.strip()))


@router.post("/batches/{batch}/resolve", response_model=shapes.Resolved)
def resolve_batch(service: Serving, caller: Treasurer, batch: BatchId, told: BilledVerdict | Verdict) -> Response:
    """The same of all calls of a batch that are in doubt."""
    with service.ledger.read() as tx:
        require_batch(tx, batch)
        doubts = read_doubts(tx, unknown_of(tx, batch))
    return _resolve(service, doubts, told, Act(caller.name, "resolve", batch, evidence=told.evidence.strip()))


@router.post("/endpoints/resume", response_model=shapes.Lifted)
def resume_endpoints(service: Serving, caller: Administrator) -> Response:
    """Go on with every endpoint that account trouble had stopped."""
    lifted = decide.resume_all_endpoints(service.ledger, caller.name)
    return json_response({"endpoint_pauses_lifted": len(lifted)})


@router.get("/acts", response_model=shapes.Acts)
def acts(
    request: Request,
    service: Serving,
    _caller: Reader,
    batch: Annotated[str | None, Query(max_length=40)] = None,
    after: Annotated[str | None, behind(int)] = None,
    limit: Limit = None,
) -> Response:
    """Who decided what, the newest first."""

    def read(known: Cursor, most: int) -> list[Row]:
        with service.ledger.read() as tx:
            return list(list_acts(tx, batch, most, int(known[0]) if known else None))

    return page(request, "acts", read, lambda row: (row["id"],), cursor(after), limit)


def _day(text: str | None) -> str | None:
    """Raises Problem 422 for a day that no calendar has."""
    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        raise Problem(422, "invalid_request", f"{text} is no day", next_="write it as 2026-11-22") from None


def _resolve(service: Service, doubts: list[Doubt], told: Verdict, act: Act) -> Response:
    amounts = {one.attempt_id: _billed(one, told) for one in doubts}
    if told.dry_run or not doubts:
        return json_response(resolved_json(would_resolve(doubts, amounts), dry_run=told.dry_run))
    try:
        done = service.ledger.write(resolving.resolve_named, amounts, act, again=told.retry)
    except UsageError as error:
        raise Problem(409, "not_resolvable", str(error), next_="look at the attempts again") from None
    for batch, jobs in (done.queued or {}).items():
        service.wake(batch, jobs)
    return json_response(resolved_json(done, dry_run=False))


def _billed(doubt: Doubt, told: Verdict) -> int | None:
    """What the call cost in nano-dollars; None: nothing."""
    if not isinstance(told, BilledVerdict):
        return None
    amount = nano_of(told.amount_dollars)
    return doubt.ceiling_nano if amount is None else amount
