"""Sends a Reply over the wire, spoiled as it asks: late, slowly, in part, or not at all.

A caller that goes away cancels the delivery; that is also how the waits without end come to an end.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import NoReturn

from aiohttp import web

from worker.simulator.values import Reply

SLOW_STEPS = 20
CUTTING = frozenset({"cut", "hang-body"})


def cuts(reply: Reply) -> bool:
    """Is this reply never to arrive whole?"""
    return reply.silence is not None or bool(CUTTING & reply.spoils.keys())


async def deliver(http: web.Request, reply: Reply) -> web.StreamResponse:
    """Send it; returns when the last byte is handed over. Does not return from an answer that `cuts`."""
    streamed = reply.content_type == "text/event-stream"
    pause_s = reply.delay_s / max(1, len(reply.chunks)) if streamed else reply.delay_s
    await asyncio.sleep(pause_s)
    if reply.silence is not None:
        await _fall_silent(http, reply.silence)
    response = _response(reply, streamed)
    await response.prepare(http)
    if CUTTING & reply.spoils.keys():
        await _send_part(http, response, reply)
    await _send(response, reply, pause_s if streamed else 0.0)
    await response.write_eof()
    return response


def _response(reply: Reply, streamed: bool) -> web.StreamResponse:
    headers = {
        **reply.headers,
        "x-request-id": reply.request_id,
        "openai-processing-ms": str(round(reply.delay_s * 1000)),
        "openai-version": "2020-10-01",
        "Content-Type": reply.content_type,
    }
    response = web.StreamResponse(status=reply.status or 500, headers=headers)
    if not streamed:
        response.content_length = sum(map(len, reply.chunks))
    return response


async def _send(response: web.StreamResponse, reply: Reply, pause_s: float) -> None:
    """The whole body. A stream pauses between its events; `slow` spreads the bytes over its seconds."""
    slow_s = reply.spoils.get("slow", 0.0)
    for number, chunk in enumerate(reply.chunks):
        if number:
            await asyncio.sleep(pause_s)
        for piece in _pieces(chunk) if slow_s else (chunk,):
            await asyncio.sleep(slow_s / SLOW_STEPS / len(reply.chunks))
            await response.write(piece)


def _pieces(chunk: bytes) -> Iterator[bytes]:
    step = -(-len(chunk) // SLOW_STEPS)
    return (chunk[start : start + step] for start in range(0, len(chunk), step))


async def _send_part(http: web.Request, response: web.StreamResponse, reply: Reply) -> NoReturn:
    """Send the first part of the body, then close, or keep the caller waiting for the rest."""
    body = b"".join(reply.chunks)
    closing = "cut" in reply.spoils
    fraction = reply.spoils["cut" if closing else "hang-body"]
    await response.write(body[: min(int(len(body) * fraction), len(body) - 1)])
    if closing and http.transport is not None:
        http.transport.close()
    await _forever()


async def _fall_silent(http: web.Request, silence: str) -> NoReturn:
    transport = http.transport
    if silence == "reset" and transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    elif silence == "close" and transport is not None:
        transport.close()
    await _forever()


async def _forever() -> NoReturn:
    """Until the caller is gone or the server stops: both cancel the delivery."""
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets")
