"""Fragments of pages as server-sent events: rendered once for all who look at one thing, sent when they change.

An event is a whole fragment with its id. A named event `beat` comes when nothing changed for a while: so a page can
tell silence from a lost connection.
"""

from collections.abc import AsyncIterator, Callable

from fastapi import Request
from starlette.responses import StreamingResponse

from jobs.api.live import Publisher

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def stream(request: Request, topic: str, read: Callable[[], str]) -> StreamingResponse:
    """`read` renders the fragment, in a thread; all who follow the topic get the same."""
    publisher: Publisher[str] = request.app.state.publisher
    return StreamingResponse(_events(publisher, topic, read), media_type="text/event-stream", headers=_HEADERS)


async def _events(publisher: Publisher[str], topic: str, read: Callable[[], str]) -> AsyncIterator[str]:
    async for news in publisher.follow(topic, read):
        if news is None:
            yield "event: beat\ndata: -\n\n"
        else:
            data = "\n".join(f"data: {line}" for line in news.value.splitlines() if line.strip())
            yield f"id: {news.id}\n{data}\n\n"
