"""The machines at work and what people decided: workers, limits and pauses of the endpoint, acts."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from jobs import decide
from jobs.api.access import Reader
from jobs.api.dashboard.pages import Administering, see, show
from jobs.api.service import Serving
from jobs.ledger.browsing import act_page
from jobs.ledger.details import read_fleet

router = APIRouter()

_ACTS = 50


@router.get("/workers")
def workers(request: Request, _caller: Reader, service: Serving) -> Response:
    with service.ledger.read() as tx:
        fleet = read_fleet(tx)
    return show(request, "workers.html", fleet=fleet, endpoint=service.settings.endpoint_url)


@router.post("/workers/resume")
def resume(caller: Administering, service: Serving) -> Response:
    """Go on with endpoints that account trouble had stopped."""
    decide.resume_all_endpoints(service.ledger, caller.name)
    return see("/workers")


@router.get("/acts")
def acts(
    request: Request,
    _caller: Reader,
    service: Serving,
    batch: str = "",
    before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    with service.ledger.read() as tx:
        lines = act_page(tx, batch or None, before, _ACTS + 1)
    more = lines[_ACTS - 1].id if len(lines) > _ACTS else None
    return show(request, "acts.html", lines=lines[:_ACTS], batch=batch, next=more)
