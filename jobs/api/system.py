"""/api/health and /api/metrics: for those who watch the server, not the work."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from jobs.api.access import Reader
from jobs.api.service import Serving
from jobs.ledger import migrate
from jobs.ledger.gauges import read_gauges
from jobs.report.gauges import gauges_text

router = APIRouter(tags=["system"])


@router.get("/health")
def health(service: Serving) -> dict[str, Any]:
    """Whether the ledger answers, and has the tables this program knows. Needs no token."""
    migrate.require_newest(service.ledger)
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(service: Serving, _caller: Reader) -> PlainTextResponse:
    """The ledger's gauges for Prometheus, the same as `imagemill metrics` prints."""
    with service.ledger.read() as tx:
        text = gauges_text(read_gauges(tx))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
