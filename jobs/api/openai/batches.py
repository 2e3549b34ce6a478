"""/v1/batches: an ordinary batch of imagemill, asked for and told in the dialect's words.

The file is checked and recorded within the request that creates the batch, whole or not at all, so that nothing is
lost between an answer and the work. The same file with the same metadata is the same batch, not a second bill.
"""

from pathlib import PurePath
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from jobs import decide
from jobs.api.access import Reader, Submitter
from jobs.api.openai.bodies import json_object, judged
from jobs.api.openai.files import Lifetime, bytes_of, collector_of, find, listed
from jobs.api.openai.wishes import Metadata, policy_of
from jobs.api.paging import json_response
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.api.submissions import key_of, record
from jobs.api.uploads import Upload
from jobs.errors import ManifestError
from jobs.ids import new_batch_id
from jobs.ledger import dialect
from jobs.ledger.dialect import Asked, Known
from jobs.ledger.figures import Span, Standing, report_groups, standing
from jobs.ledger.files import BATCH
from jobs.ledger.overview import Transaction
from jobs.manifest import ManifestOptions
from jobs.report.standing import standing_json
from jobs.states import BatchState

router = APIRouter(prefix="/batches")

ENDPOINT = "/v1/images/generations"
_WINDOW_S = 24 * 3600
_INPUTS = frozenset({"text_in", "text_cached_in", "image_in", "image_cached_in"})
_CACHED = frozenset({"text_cached_in", "image_cached_in"})
_OUTPUTS = frozenset({"text_out", "image_out"})

BatchId = Annotated[str, Path(max_length=40)]


class NewBatch(BaseModel):
    """The body of a creation."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: str
    endpoint: Literal["/v1/images/generations"]
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: Lifetime | None = None


@router.post("")
async def create(
    request: Request,
    service: Serving,
    caller: Submitter,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Record the file as a batch and wake the workers; a file that is not valid is a batch that `failed`."""
    told = judged(NewBatch, await json_object(request))
    batch_id, duplicate = await to_thread.run_sync(
        _create, service, caller.name, told, idempotency_key, limiter=service.recording
    )
    return await to_thread.run_sync(_shown, request, service, batch_id, duplicate)


@router.get("")
def list_batches(
    request: Request,
    service: Serving,
    _caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Those that were made by this way, the newest first."""
    collector_of(request).look_at_all(service)
    with service.ledger.read() as tx:
        behind = _require(dialect.find_batch(tx, after)) if after is not None else None
        found = dialect.list_batches(tx, limit + 1, behind)
        return listed([batch_json(tx, known) for known in found], limit)


@router.get("/{batch_id}")
def retrieve(request: Request, service: Serving, _caller: Reader, batch_id: BatchId) -> Response:
    return _shown(request, service, batch_id)


@router.post("/{batch_id}/cancel")
def cancel(request: Request, service: Serving, caller: Submitter, batch_id: BatchId) -> Response:
    """Drop what is queued. Calls in flight end, and are part of the output."""
    with service.ledger.read() as tx:
        known = _require(dialect.find_batch(tx, batch_id))
        state = None if known.asked.errors is not None else standing(tx, batch_id).state
    if state not in (BatchState.OPEN, BatchState.PAUSED, BatchState.CANCELLED):
        raise Problem(409, "batch_ended", "the batch has ended already", next_="there is nothing to cancel")
    service.ledger.write(dialect.was_cancelled, batch_id)
    decide.cancel(service.ledger, caller.name, batch_id)
    return _shown(request, service, batch_id)


def batch_json(tx: Transaction, known: Known) -> dict[str, Any]:
    asked = known.asked
    created = known.created_at // 1000
    base = {
        "id": asked.id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "errors": None,
        "input_file_id": asked.input_file_id,
        "completion_window": "24h",
        "created_at": created,
        "expires_at": created + _WINDOW_S,
        "metadata": asked.metadata,
    }
    if asked.errors is not None:
        return base | _failed(asked.errors, created)
    return base | _told(tx, known, standing(tx, asked.id))


def status_of(known: Known, stands: Standing) -> str:
    """The dialect's word. A pause is no end: it stays in progress, and `imagemill.waiting_for` says why."""
    if stands.state == BatchState.CANCELLED:
        return "cancelled" if known.is_collected else "cancelling"
    if stands.state == BatchState.DONE:
        return "completed" if known.is_collected else "finalizing"
    return "in_progress"


def _create(service: Service, who: str, told: NewBatch, key_text: str | None) -> tuple[str, bool]:
    """(the batch, whether it was there before)."""
    file = find(service, told.input_file_id)
    if file.purpose != BATCH:
        raise Problem(400, "wrong_purpose", "the file is not of the purpose batch", param="input_file_id")
    policy = policy_of(told.metadata, PurePath(file.name).stem or "batch")
    upload = Upload(bytes_of(service, file), "", file.name, file.bytes, file.sha256 or "")
    key = key_of(who, key_text, upload, told.model_dump())
    lives_s = told.output_expires_after.seconds if told.output_expires_after else None

    def asked(batch_id: str, errors: list[dict[str, Any]] | None = None) -> Asked:
        return Asked(batch_id, file.id, told.metadata, lives_s, errors)

    def opened(tx: Transaction, batch_id: str) -> None:
        dialect.add_batch(tx, asked(batch_id))

    try:
        batch_id, duplicate = record(service, who, upload, ManifestOptions(), policy, key, opened)
    except ManifestError as error:
        errors = [_error("manifest_unreadable", str(error))]
    except Problem as problem:
        if problem.code != "manifest_invalid":
            raise
        errors = [_complaint(one) for one in problem.more["check"]["problems"] if one["severity"] == "error"]
    else:
        if duplicate:  # it may have been made by command
            service.ledger.write(opened, batch_id)
        return batch_id, duplicate
    refused = new_batch_id()
    service.ledger.write(dialect.add_batch, asked(refused, errors))
    return refused, False


def _complaint(problem: dict[str, Any]) -> dict[str, Any]:
    return _error(problem["code"], f"{problem['message']}; {problem['next']}", problem["field"], problem["line"])


def _error(code: str, message: str, param: str | None = None, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}


def _shown(request: Request, service: Service, batch_id: str, duplicate: bool | None = None) -> Response:
    """`duplicate`: of a creation, whether it made nothing new."""
    with service.ledger.read() as tx:
        known = _require(dialect.find_batch(tx, batch_id))
    known = collector_of(request).look(service, known)
    with service.ledger.read() as tx:
        told = batch_json(tx, known)
    if duplicate is not None and "imagemill" in told:
        told["imagemill"] |= {"duplicate_of_earlier_submit": duplicate}
    return json_response(told)


def _require(known: Known | None) -> Known:
    if known is None:
        raise Problem(404, "batch_not_found", "there is no such batch", next_="GET /v1/batches lists them")
    return known


def _failed(errors: list[dict[str, Any]], created: int) -> dict[str, Any]:
    return {
        "status": "failed",
        "errors": {"object": "list", "data": errors},
        "failed_at": created,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
    }


def _told(tx: Transaction, known: Known, stands: Standing) -> dict[str, Any]:
    status = status_of(known, stands)
    ready = status in ("completed", "cancelled")
    jobs = stands.jobs
    return {
        "status": status,
        "output_file_id": known.output_file_id if ready else None,
        "error_file_id": known.error_file_id if ready else None,
        "in_progress_at": _seconds(stands.opened_at),
        "finalizing_at": _seconds(stands.ended_at) if stands.state == BatchState.DONE else None,
        "completed_at": _seconds(stands.ended_at) if status == "completed" else None,
        "cancelling_at": _seconds(known.cancelling_at or stands.ended_at) if "cancel" in status else None,
        "cancelled_at": _seconds(stands.ended_at) if status == "cancelled" else None,
        "request_counts": {
            "total": stands.total_jobs,
            "completed": jobs["succeeded"],
            "failed": jobs["failed"] + jobs["refused"] + jobs["held"],
        },
        "usage": _usage(tx, known.asked.id),
        "imagemill": standing_json(stands),  # what the dialect has no words for
    }


def _usage(tx: Transaction, batch_id: str) -> dict[str, Any] | None:
    """Tokens that were charged; None where there were none."""
    counts = {group.key: group.quantity or 0 for group in report_groups(tx, "meter", Span(batch_id))}
    inputs, cached, outputs = (_sum(counts, meters) for meters in (_INPUTS, _CACHED, _OUTPUTS))
    if not inputs and not outputs:
        return None
    return {
        "input_tokens": inputs,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": inputs + outputs,
    }


def _sum(counts: dict[str, int], meters: frozenset[str]) -> int:
    return sum(count for meter, count in counts.items() if meter in meters)


def _seconds(moment_ms: int | None) -> int | None:
    return None if moment_ms is None else moment_ms // 1000
