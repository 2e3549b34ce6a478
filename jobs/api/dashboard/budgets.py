"""Caps on money: how full they are, and setting them."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from jobs import decide
from jobs.api.access import Reader
from jobs.api.dashboard.figures import budget_shares
from jobs.api.dashboard.pages import Funding, missing, see, show
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.ledger.browsing import batch_row
from jobs.ledger.budgets import Scope, list_budgets
from jobs.money import parse_dollars
from jobs.report.budgets import is_full

router = APIRouter()


@router.get("/budgets")
def budgets(request: Request, _caller: Reader, service: Serving, scope: str = "", key: str = "") -> Response:
    with service.ledger.read() as tx:
        found = [(one, budget_shares(one), is_full(one)) for one in list_budgets(tx)]
    return show(request, "budgets.html", found=found, scopes=list(Scope), scope=scope, key=key)


@router.post("/budgets")
def set_budget(
    caller: Funding,
    service: Serving,
    scope: Annotated[str, Form()],
    key: Annotated[str, Form()] = "",
    usd: Annotated[str, Form()] = "",
) -> Response:
    """An empty amount takes the cap away."""
    kind, name = _named(service, scope, key.strip())
    decide.set_budget(service.ledger, caller.name, kind, name, parse_dollars(usd) if usd.strip() else None)
    return see("/budgets")


def _named(service: Service, scope: str, key: str) -> tuple[Scope, str]:
    """Raises Problem 400 or 404."""
    if scope not in set(Scope):
        raise Problem(400, "usage", f"there is no scope {scope!r}", next_=f"known are {', '.join(Scope)}")
    if scope == Scope.BATCH:
        with service.ledger.read() as tx:
            if batch_row(tx, key) is None:
                raise missing(f"batch {key!r}")
        return Scope.BATCH, key
    if scope == Scope.TAG:
        name, equals, value = key.partition("=")
        if not name.strip() or not equals:
            raise Problem(
                400, "usage", f"a tag is written KEY=VALUE, not {key!r}", next_="for example team=catalogue"
            )
        return Scope.TAG, f"{name.strip()}={value}"
    return Scope(scope), ""
