"""/v1/images/generations: one request is a batch of one row, and the answer waits for its job.

The job goes through admission, ledger and budgets like any other, and outlives the request: a client that leaves, a
server that dies or a wait that grows too long lose nothing. Whoever asks again gets the same job: under the same
Idempotency-Key, or, since the SDKs send none, when the SDK says that it repeats an equal request.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from jobs import decide
from jobs.api.access import Submitter
from jobs.api.openai import lines
from jobs.api.openai.bodies import json_object
from jobs.api.openai.errors import FINAL
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.api.submissions import key_of, record
from jobs.api.uploads import Upload
from jobs.decide import Chosen
from jobs.ledger import dialect
from jobs.ledger.figures import standing
from jobs.ledger.overview import Transaction
from jobs.ledger.results import Result, read_results
from jobs.ledger.waiting import live_workers, stopped_by_budget, stopped_by_endpoint
from jobs.manifest import ManifestOptions
from jobs.states import UNFINISHED, JobState
from jobs.submit import Policy

router = APIRouter(prefix="/images/generations")

PATIENCE_S = 570.0
"""The SDKs wait for ten minutes."""
_TAKE_UP_WITHIN_S = 3600
_LOOK_AGAIN_S = (0.05, 0.5)
_ASK_WHY_AFTER_S = 2.0
_NAME = "images.generate"


@router.post("")
async def generate(
    request: Request,
    service: Serving,
    caller: Submitter,
    idempotency_key: Annotated[str | None, Header()] = None,
    x_stainless_retry_count: Annotated[int, Header()] = 0,
) -> Response:
    """The images of one prompt. What keeps the job from being called at all is told, and nothing stays queued."""
    body = await json_object(request)
    if body.get("stream"):
        raise Problem(
            400, "unsupported_value", "streams are not offered here", next_="leave it out", param="stream"
        )
    repeated = idempotency_key is None and x_stainless_retry_count > 0
    batch_id = await run_in_threadpool(_begin, service, caller.name, body, idempotency_key, repeated)
    result = await _ended(request, service, caller.name, batch_id)
    return await run_in_threadpool(_answer, service, batch_id, result)


def _begin(service: Service, who: str, body: dict[str, Any], key_text: str | None, repeated: bool) -> str:
    """The batch of the request: that of the earlier one that it repeats, or a new one."""
    with service.ledger.read() as tx:
        if not live_workers(tx):
            raise _no_worker()
    sha256 = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()
    if repeated:
        earlier = service.ledger.write(dialect.take_up, who, sha256, _TAKE_UP_WITHIN_S)
        if earlier is not None:
            _queue_again(service, who, earlier)
            return earlier
    batch_id, made_before = _record(service, who, body, sha256, key_text)
    if made_before:
        _queue_again(service, who, batch_id)
    return batch_id


def _record(
    service: Service, who: str, body: dict[str, Any], sha256: str, key_text: str | None
) -> tuple[str, bool]:
    """(the batch, whether the key made it before). An id of its own makes each request another manifest."""
    name = f"image-{uuid.uuid4().hex}"
    line = {"custom_id": name, "method": "POST", "url": "/v1/images/generations", "body": body}
    service.uploads.mkdir(parents=True, exist_ok=True)
    upload = Upload(service.uploads / f"{name}.upload", "application/x-ndjson", sha256=sha256)

    def opened(tx: Transaction, batch_id: str) -> None:
        dialect.add_request(tx, batch_id, who, sha256)

    try:
        upload.path.write_bytes(msgspec.json.encode(line) + b"\n")
        key = key_of(who, key_text, upload, _NAME)
        return record(service, who, upload, ManifestOptions(), Policy(name=_NAME), key, opened)
    except Problem as problem:
        raise _unfit(problem) if problem.code == "manifest_invalid" else problem from None
    finally:
        upload.path.unlink(missing_ok=True)


def _unfit(problem: Problem) -> Problem:
    """The first thing that is wrong with the one row."""
    first = next(one for one in problem.more["check"]["problems"] if one["severity"] == "error")
    return Problem(400, first["code"], first["message"], next_=first["next"], param=first["field"])


def _queue_again(service: Service, who: str, batch_id: str) -> None:
    """A job that was taken out of the queue because nothing could call it; it was never sent since."""
    chosen = Chosen([JobState.CANCELLED])
    jobs, worst_nano = decide.worst_case(service.ledger, batch_id, chosen)
    if jobs and decide.retry(service.ledger, who, batch_id, chosen, worst_nano):
        service.wake(batch_id, jobs)


async def _ended(request: Request, service: Service, who: str, batch_id: str) -> Result:
    """Wait until the job has ended. Raises Problem where it cannot, or not in time; the job goes on in time."""
    began = time.monotonic()
    ask_why_at = began + _ASK_WHY_AFTER_S
    pause_s, longest_s = _LOOK_AGAIN_S
    while True:
        result = await run_in_threadpool(_look, service, batch_id)
        if result.state not in UNFINISHED:
            return result
        if await request.is_disconnected():
            raise Problem(408, "client_left", f"job {batch_id} goes on")
        if time.monotonic() > began + PATIENCE_S:
            raise _too_long(batch_id)
        if time.monotonic() > ask_why_at:
            await run_in_threadpool(_give_up_what_is_stuck, service, who, batch_id)
            ask_why_at = time.monotonic() + _ASK_WHY_AFTER_S
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)


def _look(service: Service, batch_id: str) -> Result:
    with service.ledger.read() as tx:
        return read_results(tx, batch_id, frozenset(JobState), 0, 1)[0]


def _too_long(batch_id: str) -> Problem:
    told = f"batch {batch_id} has not ended yet, and goes on"
    next_ = "ask again with the same Idempotency-Key, or look with `imagemill status`"
    return Problem(504, "still_running", told, next_=next_, headers=FINAL, batch=batch_id)


def _give_up_what_is_stuck(service: Service, who: str, batch_id: str) -> None:
    """Take the job out of the queue where it would wait for a person. Raises Problem; not where it was sent."""
    with service.ledger.read() as tx:
        problem = _stuck(tx, service, batch_id)
    if problem and decide.cancel(service.ledger, who, batch_id):
        raise problem


def _stuck(tx: Transaction, service: Service, batch_id: str) -> Problem | None:
    if not live_workers(tx):
        return _no_worker()
    why = standing(tx, batch_id).waiting_for or ""
    if stopped_by_budget(tx, batch_id):
        return Problem(429, "budget_full", why, headers=FINAL, type="insufficient_quota")
    if stopped_by_endpoint(tx, batch_id, service.settings.endpoint_url):
        return Problem(503, "endpoint_paused", why, next_="`imagemill resume` lifts it", headers=FINAL)
    return None


def _no_worker() -> Problem:
    return Problem(503, "no_worker", "no worker is running", next_="start one: imagemill work", headers=FINAL)


def _answer(service: Service, batch_id: str, result: Result) -> Response:
    """The endpoint's answer, or its error; what has no answer of the endpoint's is told as a bad gateway."""
    headers = {"x-request-id": result.request_id or batch_id, "x-imagemill-batch": batch_id}
    if result.state is JobState.SUCCEEDED:
        return _images(service, batch_id, result, headers)
    service.ledger.write(dialect.answered, batch_id)
    if result.state is JobState.CANCELLED:
        raise Problem(409, "cancelled", f"batch {batch_id} was cancelled", headers=headers)
    if result.state is JobState.HELD:
        raise Problem(502, "outcome_unknown", f"batch {batch_id}: {lines.doubt(result)}", headers=headers | FINAL)
    if result.http_status is not None and result.http_status >= 400:
        return JSONResponse(lines.error_body(result), result.http_status, headers=headers | FINAL)
    raise Problem(502, result.error_kind or "failed", result.error_message or "", headers=headers | FINAL)


def _images(service: Service, batch_id: str, result: Result, headers: Mapping[str, str]) -> Response:
    as_urls = lines.wants_urls(result)
    length = lines.measured(lines.body_pieces(result, as_urls=as_urls))

    def sent() -> Iterator[bytes]:
        yield from lines.written(service, lines.body_pieces(result, as_urls=as_urls))
        service.ledger.write(dialect.answered, batch_id)

    told = {**headers, "content-length": str(length)}
    return StreamingResponse(sent(), media_type="application/json", headers=told)
