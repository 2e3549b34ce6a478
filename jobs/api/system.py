"""/api/health and /api/metrics: for those who watch the server, not the work."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from jobs.api import shapes
from jobs.api.access import Reader
from jobs.api.paging import json_response
from jobs.api.service import Serving
from jobs.ledger import migrate
from jobs.ledger.gauges import read_gauges
from jobs.ledger.overview import whole_ledger
from jobs.report.gauges import gauges_text
from jobs.report.standing import standing_json

router = APIRouter(tags=["system"], responses=shapes.PROBLEMS)


@router.get("/health", response_model=shapes.Health)
def health(service: Serving) -> dict[str, str]:
    """Whether the ledger answers, and has the tables this program knows. Needs no token."""
    migrate.require_newest(service.ledger)
    return {"status": "ok"}


@router.get("/status", response_model=shapes.Standing)
def status(service: Serving, _caller: Reader) -> Response:
    """All batches together: `imagemill status --json`."""
    with service.ledger.read() as tx:
        return json_response(standing_json(whole_ledger(tx)))


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(service: Serving, _caller: Reader) -> PlainTextResponse:
    """The ledger's gauges for Prometheus, the same as `imagemill metrics` prints."""
    with service.ledger.read() as tx:
        text = gauges_text(read_gauges(tx))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
