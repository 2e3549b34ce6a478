"""/api/report, /api/budgets, /api/resolve, /api/acts: what it cost, what it may cost, and who decided."""

import re
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs import decide
from jobs.api import shapes
from jobs.api.access import Administrator, Reader, Treasurer
from jobs.api.finding import require_batch
from jobs.api.paging import After, Cursor, Limit, Row, cursor, json_response, page
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
_GROUPING = r"^(day|model|batch|outcome|meter|tag:.+)$"


class Cap(BaseModel):
    """A budget's cap. `key` is KEY=VALUE of a tag, the id of a batch, and nothing else's."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope
    key: Annotated[str, Field(max_length=500)] = ""
    cap_dollars: Dollars | None = Field(description="null: no cap")


class Resolution(BaseModel):
    """What became of calls in doubt: the named ones, or all of a batch."""

    model_config = ConfigDict(extra="forbid")

    attempts: Annotated[list[Id], Field(max_length=_MOST_ATTEMPTS)] = []
    batch: Id | None = None
    billed: bool
    amount_dollars: Dollars | None = Field(None, description="of each call; its ceiling otherwise")
    evidence: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"\S")]
    retry: bool = Field(False, description="queue the jobs again; they fail otherwise")
    dry_run: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "Resolution":
        if bool(self.attempts) == bool(self.batch):
            raise ValueError("name the attempts, or the batch")
        if self.amount_dollars is not None and not self.billed:
            raise ValueError("amount_dollars goes with billed")
        return self


@router.get("/report", response_model=shapes.Report)
def report(
    service: Serving,
    _caller: Reader,
    batch: Annotated[str | None, Query(max_length=40)] = None,
    by: Annotated[str, Query(max_length=200, pattern=_GROUPING)] = "model",
    since: Annotated[date | None, Query(alias="from", description="first UTC day")] = None,
    until: Annotated[date | None, Query(alias="to", description="UTC day after the last")] = None,
) -> Response:
    """Cost and counts of a batch, or of the whole ledger, grouped: `imagemill report --json`."""
    if not re.fullmatch(_GROUPING, by):  # the pattern's $ lets a line end pass
        raise Problem(422, "invalid_request", "there is no such grouping")
    span = Span(batch, since.isoformat() if since else None, until.isoformat() if until else None)
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
def set_budget(service: Serving, caller: Treasurer, cap: Cap) -> Response:
    """Set or lift a cap. A cap below what is used takes nothing back: it stops new calls."""
    key = _require_key(service, cap)
    decide.set_budget(service.ledger, caller.name, cap.scope, key, nano_of(cap.cap_dollars))
    with service.ledger.read() as tx:
        found = read_budget(tx, cap.scope, key)
    return json_response({"budgets": [budget_json(found)] if found else []})


@router.post("/resolve", response_model=shapes.Resolved)
def resolve(service: Serving, caller: Treasurer, told: Resolution) -> Response:
    """Say what became of calls whose outcome nobody saw, wholly or not at all. 409: one of them cannot be resolved
    (so)."""
    doubts = _doubts(service, told)
    amount = nano_of(told.amount_dollars)
    amounts = {one.attempt_id: _billed(one, told, amount) for one in doubts}
    if told.dry_run or not doubts:
        return json_response(resolved_json(would_resolve(doubts, amounts), dry_run=told.dry_run))
    act = Act(caller.name, "resolve", told.batch, evidence=told.evidence.strip())
    try:
        done = service.ledger.write(resolving.resolve_named, amounts, act, again=told.retry)
    except UsageError as error:
        raise Problem(409, "not_resolvable", str(error), next_="GET the attempts again") from None
    for batch, jobs in (done.queued or {}).items():
        service.wake(batch, jobs)
    return json_response(resolved_json(done, dry_run=False))


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
    after: After = None,
    limit: Limit = None,
) -> Response:
    """Who decided what, the newest first."""

    def read(behind: Cursor, most: int) -> list[Row]:
        with service.ledger.read() as tx:
            return list(list_acts(tx, batch, most, int(behind[0]) if behind else None))

    return page(request, "acts", read, lambda row: (row["id"],), cursor(after, int), limit)


def _require_key(service: Service, cap: Cap) -> str:
    """The key as the ledger has it. Raises Problem."""
    if cap.scope is Scope.BATCH:
        with service.ledger.read() as tx:
            require_batch(tx, cap.key)
        return cap.key
    if cap.scope is Scope.TAG:
        name, equals, value = cap.key.partition("=")
        if not name.strip() or not equals:
            raise Problem(422, "invalid_request", "the key of a tag is KEY=VALUE")
        return f"{name.strip()}={value}"
    if cap.key:
        raise Problem(422, "invalid_request", f"{cap.scope} has no key")
    return ""


def _doubts(service: Service, told: Resolution) -> list[Doubt]:
    with service.ledger.read() as tx:
        if told.batch is not None:
            require_batch(tx, told.batch)
            return read_doubts(tx, unknown_of(tx, told.batch))
        found = read_doubts(tx, sorted(set(told.attempts)))
    missing = set(told.attempts) - {one.attempt_id for one in found}
    if missing:
        raise Problem(404, "no_such_attempt", f"there is no attempt {sorted(missing)[0]}; nothing was changed")
    return found


def _billed(doubt: Doubt, told: Resolution, amount: int | None) -> int | None:
    if not told.billed:
        return None
    return doubt.ceiling_nano if amount is None else amount
