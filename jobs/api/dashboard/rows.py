"""Jobs, images and their pages: lists by the key, a job down to the price line, an image with what it cost."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from jobs.api.access import Reader
from jobs.api.dashboard.pages import missing, show
from jobs.api.service import Serving
from jobs.ledger.browsing import JobFilter, batch_row, image_page, job_page
from jobs.ledger.details import read_image, read_job
from jobs.ledger.figures import standing
from jobs.states import JobState

router = APIRouter()

_JOBS = 50
_IMAGES = 60
_LARGEST_ROW = 2**53

Row = Annotated[int, Path(ge=1, le=_LARGEST_ROW)]
Index = Annotated[int, Path(ge=0, le=10_000)]


@router.get("/batches/{batch_id}/jobs")
def jobs(
    request: Request,
    _caller: Reader,
    service: Serving,
    batch_id: str,
    state: str = "",
    cause: str = "",
    model: str = "",
    after: Annotated[int, Query(ge=0, le=_LARGEST_ROW)] = 0,
) -> Response:
    chosen = JobFilter(state if state in set(JobState) else None, cause or None, model or None)
    with service.ledger.read() as tx:
        row = batch_row(tx, batch_id)
        if row is None:
            raise missing(f"batch {batch_id}")
        lines = job_page(tx, batch_id, chosen, after, _JOBS + 1)
        stands = standing(tx, batch_id)
    more = lines[_JOBS - 1].row if len(lines) > _JOBS else None
    shown = lines[:_JOBS]
    return show(request, "jobs.html", row=row, stands=stands, lines=shown, chosen=chosen, after=after, next=more)


@router.get("/batches/{batch_id}/images")
def gallery(request: Request, _caller: Reader, service: Serving, batch_id: str, after: str = "") -> Response:
    with service.ledger.read() as tx:
        row = batch_row(tx, batch_id)
        if row is None:
            raise missing(f"batch {batch_id}")
        lines = image_page(tx, batch_id, after, _IMAGES + 1)
        stands = standing(tx, batch_id)
    more = lines[_IMAGES - 1].key if len(lines) > _IMAGES else None
    return show(request, "gallery.html", row=row, stands=stands, lines=lines[:_IMAGES], after=after, next=more)


@router.get("/batches/{batch_id}/jobs/{number}")
def job(request: Request, _caller: Reader, service: Serving, batch_id: str, number: Row) -> Response:
    with service.ledger.read() as tx:
        row, found = batch_row(tx, batch_id), read_job(tx, batch_id, number)
    if row is None or found is None:
        raise missing(f"job {number} of {batch_id}")
    return show(request, "job.html", row=row, job=found)


@router.get("/images/{attempt_id}/{index}")
def image(request: Request, _caller: Reader, service: Serving, attempt_id: str, index: Index) -> Response:
    with service.ledger.read() as tx:
        found = read_image(tx, attempt_id, index)
        job = read_job(tx, found.batch_id, found.row) if found else None
        row = batch_row(tx, found.batch_id) if found else None
    if found is None or job is None or row is None:
        raise missing(f"image {index} of {attempt_id}")
    attempt = next(one for one in job.attempts if one.id == attempt_id)
    return show(request, "image.html", row=row, image=found, job=job, attempt=attempt)
