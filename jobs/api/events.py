"""/api/events and /api/batches/{batch}/events: standings as server-sent events, whole, when they change."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from jobs.api import shapes
from jobs.api.access import Reader
from jobs.api.finding import BatchId, require_batch_of
from jobs.api.live import Publisher
from jobs.api.service import Service, Serving
from jobs.ledger.figures import standing
from jobs.ledger.overview import whole_ledger
from jobs.report.standing import standing_json
from jobs.states import BatchState

router = APIRouter(tags=["events"], responses=shapes.PROBLEMS)

MEDIA_TYPE = "text/event-stream"
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}
_ENDED = (BatchState.DONE, BatchState.CANCELLED)

Read = Callable[[], dict[str, Any]]


@router.get("/events", response_class=StreamingResponse, responses=_STREAM)
async def events(request: Request, service: Serving, _caller: Reader) -> StreamingResponse:
    """All batches together: an event `standing` whenever a figure changes, a comment every 15 s."""
    return _answer(_stream(request, "", lambda: _whole(service), until_end=False))


@router.get("/batches/{batch}/events", response_class=StreamingResponse, responses=_STREAM)
async def batch_events(request: Request, service: Serving, _caller: Reader, batch: BatchId) -> StreamingResponse:
    """One batch: events `standing`, and `end` when the batch is done or cancelled; then the stream ends."""
    await run_in_threadpool(require_batch_of, service, batch)
    return _answer(_stream(request, batch, lambda: _of(service, batch), until_end=True))


async def _stream(request: Request, topic: str, read: Read, *, until_end: bool) -> AsyncIterator[bytes]:
    publisher: Publisher[dict[str, Any]] = request.app.state.publisher
    async for news in publisher.follow(f"standing {topic}", read):
        if news is None:
            yield format_sse_event(comment="still here")
            continue
        told = msgspec.json.encode(news.value).decode()
        yield format_sse_event(event="standing", data_str=told, id=str(news.id))
        if until_end and news.value["state"] in _ENDED:
            yield format_sse_event(event="end", data_str="{}")
            return


def _answer(stream: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})


def _whole(service: Service) -> dict[str, Any]:
    with service.ledger.read() as tx:
        return standing_json(whole_ledger(tx))


def _of(service: Service, batch: str) -> dict[str, Any]:
    with service.ledger.read() as tx:
        return standing_json(standing(tx, batch))
