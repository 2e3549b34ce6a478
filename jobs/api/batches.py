"""/api/batches: submit, list, show, and what a person decides about a batch. The same fields as the commands'."""

from datetime import datetime
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from jobs import decide
from jobs.api import shapes
from jobs.api.access import Judge, Reader, Submitter
from jobs.api.finding import BatchId, require_batch, require_batch_of
from jobs.api.manifests import BODY, received_manifest
from jobs.api.paging import Cursor, Limit, Row, cursor, json_response, page
from jobs.api.paging import after as behind
from jobs.api.service import Service, Serving
from jobs.api.settings import Asked, Dollars, nano_of, policy_of, reading_of
from jobs.api.submissions import check, key_of, record
from jobs.ledger.figures import standing
from jobs.ledger.overview import list_standing
from jobs.report.checks import check_json, submission_json
from jobs.report.standing import batch_json, standing_json
from jobs.states import JobState
from jobs.submit import Submission

router = APIRouter(prefix="/batches", tags=["batches"], responses=shapes.PROBLEMS)


class Selection(BaseModel):
    """Jobs of a batch to queue again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    states: Annotated[list[Literal["failed", "held", "refused"]], Field(min_length=1, max_length=3)]
    cause: Annotated[str, Field(max_length=200)] | None = Field(None, description="only this error kind")
    model: Annotated[str, Field(max_length=200)] | None = Field(None, description="only this model")
    dry_run: bool = False


class Reason(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(min_length=1, max_length=500)] = "operator"


class Going(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    budget_dollars: Dollars | None = Field(None, description="the batch's new budget")


@router.post(
    "",
    status_code=202,
    openapi_extra={"requestBody": BODY},
    responses={202: {"model": shapes.Submitted}, 200: {"model": shapes.Check, "description": "of a dry run"}},
)
async def submit(
    request: Request,
    service: Serving,
    caller: Submitter,
    settings: Annotated[Asked, Query()],
    idempotency_key: Annotated[str | None, Header(description="the same key: the same batch")] = None,
) -> Response:
    """Record a manifest of any format as one batch, whole or not at all, and wake the workers. The same manifest
    with the same settings is the same batch, not a second bill. 422 tells what is wrong with it."""
    async with received_manifest(request, service, settings) as (upload, told, name):
        reading, policy = reading_of(told), policy_of(told, name)
        if told.dry_run:
            found = await to_thread.run_sync(check, service, upload, reading, policy, limiter=service.recording)
            return json_response(check_json(found))
        key = key_of(caller.name, idempotency_key, upload, told.model_dump(), name)
        batch_id, duplicate = await to_thread.run_sync(
            record, service, caller.name, upload, reading, policy, key, limiter=service.recording
        )
    return await to_thread.run_sync(_submitted, service, batch_id, duplicate)


@router.get("", response_model=shapes.Batches)
def batches(
    request: Request,
    service: Serving,
    _caller: Reader,
    after: Annotated[str | None, behind(int, str)] = None,
    limit: Limit = None,
) -> Response:
    """The batches, the newest first."""

    def read(known: Cursor, most: int) -> list[Row]:
        key = (int(known[0]), str(known[1])) if known else None
        with service.ledger.read() as tx:
            return [batch_json(line) for line in list_standing(tx, most, key)]

    return page(request, "batches", read, _key, cursor(after), limit)


@router.get("/{batch}", response_model=shapes.Standing)
def show(service: Serving, _caller: Reader, batch: BatchId) -> Response:
    """Counts, money, rate, time left, and why it waits: `imagemill status BATCH --json`."""
    return json_response(_standing(service, batch))


@router.post("/{batch}/pause", response_model=shapes.Moved)
def pause(service: Serving, caller: Judge, batch: BatchId, told: Reason | None = None) -> Response:
    """Admit nothing more; calls in flight end and are kept."""
    require_batch_of(service, batch)
    moved = decide.pause(service.ledger, caller.name, batch, (told or Reason()).reason)
    return _moved(service, batch, moved=moved)


@router.post("/{batch}/resume", response_model=shapes.Moved)
def resume(service: Serving, caller: Submitter, batch: BatchId, told: Going | None = None) -> Response:
    """Go on after a pause; `budget_dollars` sets the batch's wall anew."""
    require_batch_of(service, batch)
    moved = decide.resume(service.ledger, caller.name, batch, nano_of(told.budget_dollars) if told else None)
    _wake(service, batch)
    return _moved(service, batch, moved=moved)


@router.post("/{batch}/cancel", response_model=shapes.JobsMoved)
def cancel(service: Serving, caller: Submitter, batch: BatchId) -> Response:
    """Drop what is queued. Calls in flight end, and their images and costs are kept."""
    require_batch_of(service, batch)
    return _moved(service, batch, jobs=decide.cancel(service.ledger, caller.name, batch))


@router.post("/{batch}/retry", response_model=shapes.Retried)
def retry(service: Serving, caller: Judge, batch: BatchId, told: Selection) -> Response:
    """Queue failed, held or refused jobs again, of one cause or model if named, with fresh limits of attempts and
    time. Held ones may have been paid for already. `dry_run` says how many and what they may cost at worst."""
    require_batch_of(service, batch)
    chosen = decide.Chosen([JobState(word) for word in told.states], told.cause, told.model)
    number, worst_nano = decide.worst_case(service.ledger, batch, chosen)
    if number and not told.dry_run:
        number = decide.retry(service.ledger, caller.name, batch, chosen, worst_nano)
        _wake(service, batch)
    facts = {"batch": batch, "jobs": number, "worst_case_nanodollars": worst_nano, "dry_run": told.dry_run}
    return json_response(facts)


def _submitted(service: Service, batch_id: str, duplicate: bool) -> Response:
    with service.ledger.read() as tx:
        stands = standing(tx, batch_id)
    answer = submission_json(Submission(batch_id, stands.total_jobs, duplicate, None), stands.state)
    return json_response(answer, 202, {"Location": f"/api/batches/{batch_id}"})


def _key(row: Row) -> Cursor:
    """Of the list of batches: its order."""
    return round(datetime.fromisoformat(row["created_at"]).timestamp() * 1000), row["batch"]


def _standing(service: Service, batch: str) -> dict[str, Any]:
    with service.ledger.read() as tx:
        require_batch(tx, batch)
        return standing_json(standing(tx, batch))


def _moved(service: Service, batch: str, **facts: object) -> Response:
    with service.ledger.read() as tx:
        return json_response({"batch": batch, **facts, "state": standing(tx, batch).state})


def _wake(service: Service, batch: str) -> None:
    with service.ledger.read() as tx:
        stands = standing(tx, batch)
    if stands.jobs["queued"] and stands.state == "open":
        service.wake(batch, stands.jobs["queued"])
