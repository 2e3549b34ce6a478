"""/api/batches/{batch}/jobs, attempts, images: the rows, in manifest order, by the page or all as NDJSON."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from jobs.api import shapes
from jobs.api.access import Reader
from jobs.api.finding import BatchId, require_batch_of
from jobs.api.paging import Cursor, Limit, Row, cursor, json_response, page
from jobs.api.paging import after as behind
from jobs.api.problems import Problem
from jobs.api.service import Serving
from jobs.ledger.listing import Filter, list_attempts, list_images, list_jobs
from jobs.report.causes import cause_json, read_causes
from jobs.states import JobState, Outcome

router = APIRouter(prefix="/batches/{batch}", tags=["rows"], responses=shapes.PROBLEMS)

Word = Annotated[str | None, Query(max_length=200)]
_OUTCOMES = f"^({'|'.join(['open', *Outcome])})$"
RowNumber = Annotated[int, Path(ge=1, le=10**12)]


@router.get("/jobs", response_model=shapes.Jobs)
def jobs(
    request: Request,
    service: Serving,
    _caller: Reader,
    batch: BatchId,
    state: Annotated[JobState | None, Query()] = None,
    model: Word = None,
    cause: Word = None,
    after: Annotated[str | None, behind(int)] = None,
    limit: Limit = None,
) -> Response:
    """The jobs of a batch: state, attempts, charge, error."""
    require_batch_of(service, batch)

    def read(known: Cursor, most: int) -> list[Row]:
        with service.ledger.read() as tx:
            return list(list_jobs(tx, batch, Filter(state, model, cause, most, known)))

    return page(request, "jobs", read, lambda row: (row["row"],), cursor(after), limit)


@router.get("/jobs/{row}", response_model=shapes.Job)
def job(service: Serving, _caller: Reader, batch: BatchId, row: RowNumber) -> Response:
    """One job."""
    require_batch_of(service, batch)
    with service.ledger.read() as tx:
        found = list(list_jobs(tx, batch, Filter(limit=1, after=(row - 1,))))
    if not found or found[0]["row"] != row:
        raise Problem(404, "no_such_job", "the batch has no such row", next_=f"GET /api/batches/{batch}/jobs")
    return json_response(found[0])


@router.get("/attempts", response_model=shapes.Attempts)
def attempts(
    request: Request,
    service: Serving,
    _caller: Reader,
    batch: BatchId,
    outcome: Annotated[str | None, Query(pattern=_OUTCOMES, description="`open`: in flight")] = None,
    model: Word = None,
    cause: Word = None,
    after: Annotated[str | None, behind(int, int)] = None,
    limit: Limit = None,
) -> Response:
    """The calls of a batch: outcome, HTTP status, usage, ceiling and charge."""
    require_batch_of(service, batch)

    def read(known: Cursor, most: int) -> list[Row]:
        with service.ledger.read() as tx:
            return list(list_attempts(tx, batch, Filter(outcome, model, cause, most, known)))

    return page(request, "attempts", read, lambda row: (row["row"], row["number"]), cursor(after), limit)


@router.get("/images", response_model=shapes.Images)
def images(
    request: Request,
    service: Serving,
    _caller: Reader,
    batch: BatchId,
    after: Annotated[str | None, behind(int, int, str)] = None,
    limit: Limit = None,
) -> Response:
    """The files of a batch: where to get them, size, checksum."""
    require_batch_of(service, batch)

    def read(known: Cursor, most: int) -> list[Row]:
        store = service.store
        chosen = Filter(limit=most, after=known)
        with service.ledger.read() as tx:
            return [_linked(row) for row in list_images(tx, batch, chosen, lambda name: str(store.path_of(name)))]

    return page(request, "images", read, _image_key, cursor(after), limit)


@router.get("/failures", response_model=shapes.Causes)
def failures(service: Serving, _caller: Reader, batch: BatchId) -> Response:
    """Failed, refused and held jobs by cause: how many, an example, and what to do about it."""
    require_batch_of(service, batch)
    with service.ledger.read() as tx:
        found = read_causes(tx, batch)
    return json_response({"batch": batch, "causes": [cause_json(cause) for cause in found]})


def _image_key(row: Row) -> Cursor:
    return row["row"], row["index"], row["attempt"]


def _linked(row: Row) -> Row:
    url = f"/api/images/{row['attempt']}/{row['index']}"
    return {**row, "url": url, "thumbnail_url": f"{url}/thumbnail"}
