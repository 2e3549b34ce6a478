"""The list of batches and the page of one, live; and what a person decides about a batch."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from jobs import decide
from jobs.api.access import Reader
from jobs.api.dashboard.figures import Cause, read_causes, shares
from jobs.api.dashboard.pages import Judging, Submitting, may, missing, render, see, show
from jobs.api.dashboard.streams import stream
from jobs.api.service import Service, Serving
from jobs.ledger.browsing import ImageLine, act_page, batch_ids, batch_row, latest_images
from jobs.ledger.engine import AnyRow
from jobs.ledger.figures import Standing, standing
from jobs.ledger.overview import Glimpse, Transaction, glimpse, whole_ledger
from jobs.ledger.tokens import TokenScope
from jobs.money import parse_dollars
from jobs.report.panel import projection

router = APIRouter()

PAGE = 20
_STRIP = 16
_ACTS = 5


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at a batch shows, read in one transaction."""

    stands: Standing
    seen: Glimpse
    causes: list[Cause]
    strip: list[ImageLine]


@router.get("/")
def batches(request: Request, _caller: Reader, service: Serving, after: str | None = None) -> Response:
    return show(request, "batches.html", after=after, **_read_batches(service, after))


@router.get("/live/batches")
async def live_batches(request: Request, _caller: Reader, service: Serving, after: str | None = None) -> Response:
    return stream(request, f"batches {after}", lambda: render("_batches.html", **_read_batches(service, after)))


@router.get("/batches/{batch_id}")
def batch(request: Request, _caller: Reader, service: Serving, batch_id: str, moved: int | None = None) -> Response:
    with service.ledger.read() as tx:
        row = _row(tx, batch_id)
        look = _look(tx, batch_id)
        acts = act_page(tx, batch_id, None, _ACTS)
    acting = _acting(request)
    return show(request, "batch.html", row=row, acts=acts, moved=moved, acting=acting, **_values(look))


@router.get("/live/batches/{batch_id}")
async def live_batch(request: Request, _caller: Reader, service: Serving, batch_id: str) -> Response:
    acting = _acting(request)

    def read() -> str:
        with service.ledger.read() as tx:
            _row(tx, batch_id)
            look = _look(tx, batch_id)
        return render("_batch.html", acting=acting, **_values(look))

    return stream(request, f"batch {batch_id} {acting}", read)


@router.post("/batches/{batch_id}/pause")
def pause(caller: Judging, service: Serving, batch_id: str) -> Response:
    decide.pause(service.ledger, caller.name, _known(service, batch_id), "operator")
    return see(f"/batches/{batch_id}")


@router.post("/batches/{batch_id}/resume")
def resume(caller: Submitting, service: Serving, batch_id: str, budget: Annotated[str, Form()] = "") -> Response:
    budget_nano = parse_dollars(budget) if budget.strip() else None
    decide.resume(service.ledger, caller.name, _known(service, batch_id), budget_nano)
    with service.ledger.read() as tx:
        queued = standing(tx, batch_id).jobs["queued"]
    if queued:
        service.wake(batch_id, queued)
    return see(f"/batches/{batch_id}")


@router.get("/batches/{batch_id}/cancel")
def ask_cancel(request: Request, _caller: Reader, service: Serving, batch_id: str) -> Response:
    with service.ledger.read() as tx:
        row = _row(tx, batch_id)
        return show(request, "cancel.html", row=row, stands=standing(tx, batch_id))


@router.post("/batches/{batch_id}/cancel")
def cancel(caller: Submitting, service: Serving, batch_id: str) -> Response:
    decide.cancel(service.ledger, caller.name, _known(service, batch_id))
    return see(f"/batches/{batch_id}")


def _known(service: Service, batch_id: str) -> str:
    with service.ledger.read() as tx:
        return str(_row(tx, batch_id).id)


def _row(tx: Transaction, batch_id: str) -> AnyRow:
    """Raises Problem 404."""
    row = batch_row(tx, batch_id)
    if row is None:
        raise missing(f"batch {batch_id}")
    return row


def _acting(request: Request) -> str:
    """Which buttons a page has: those of a caller who may spend, who may judge, or none."""
    if may(request, TokenScope.SUBMIT):
        return "submit"
    return "judge" if may(request, TokenScope.REVIEW) else "read"


def _read_batches(service: Service, after: str | None) -> dict[str, Any]:
    with service.ledger.read() as tx:
        ids = batch_ids(tx, after, PAGE + 1)
        return {
            "whole": whole_ledger(tx),
            "lines": [(one, shares(one)) for one in (standing(tx, batch_id) for batch_id in ids[:PAGE])],
            "next": ids[PAGE - 1] if len(ids) > PAGE else None,
        }


def _look(tx: Transaction, batch_id: str) -> _Look:
    return _Look(
        standing(tx, batch_id),
        glimpse(tx, batch_id),
        read_causes(tx, batch_id),
        latest_images(tx, batch_id, _STRIP),
    )


def _values(look: _Look) -> dict[str, Any]:
    stands = look.stands
    return {
        "stands": stands,
        "seen": look.seen,
        "causes": look.causes,
        "strip": look.strip,
        "shares": shares(stands),
        "projected": projection(stands),
    }
