"""The outermost layer: what holds for every request, whoever answers it.

The Host header must be a name this server was told of, which stops a foreign page from reaching it by a name that
resolves here (DNS rebinding). Bodies have a cap and a time; what says it is larger is refused unread. Answers carry
headers that let a browser run, load and send nothing but our own.
"""

import asyncio
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.api.problems import Problem
from jobs.api.service import Service

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Given to every answer that does not bring its own."""

UPLOADS = frozenset({("POST", "/api/batches"), ("POST", "/v1/files"), ("POST", "/submit")})
"""Where a manifest may come in; every other body is small."""
_MOST_BODY_BYTES = 1024 * 1024
_BODY_WITHIN_S = 60.0
_UPLOAD_WITHIN_S = 1800.0
_SILENT_S = 30.0


class Guard:
    """ASGI middleware around the whole. Puts the Service into `request.state.service`."""

    def __init__(self, app: ASGIApp, service: Service, refuse: Callable[[Request, Problem], Response]) -> None:
        self._app = app
        self._service = service
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        scope.setdefault("state", {})["service"] = self._service
        guarded = _with_headers(send)
        refused = self._refusal(scope)
        if refused:
            await self._refuse(Request(scope), refused)(scope, receive, guarded)
            return
        body = _Body(receive, self._cap(scope), _UPLOAD_WITHIN_S if _is_upload(scope) else _BODY_WITHIN_S)
        await self._app(scope, body.receive, guarded)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if host_name(headers.get("host", "")) not in self._service.hosts:
            told = "this server does not go by that name"
            return Problem(403, "host_not_allowed", told, next_="imagemill serve --allow-host NAME lets it")
        if headers.get("content-encoding", "identity") != "identity":
            return Problem(415, "encoded", "a compressed body is not taken", next_="send it as it is")
        declared = headers.get("content-length", "0")
        if not declared.isdigit() or int(declared) > self._cap(scope):
            return too_large(self._cap(scope), headers={"Connection": "close"})
        return None

    def _cap(self, scope: Scope) -> int:
        return self._service.most_upload_bytes if _is_upload(scope) else _MOST_BODY_BYTES


def too_large(most_bytes: int, headers: Mapping[str, str] | None = None) -> Problem:
    told = f"the body is larger than {most_bytes:,} bytes"
    return Problem(
        413, "too_large", told, next_="split it, or raise imagemill serve --max-upload-mb", headers=headers
    )


def host_name(host: str) -> str:
    """The name in a Host header: without port, in lower case, IPv6 without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


class _Body:
    """A request's body with a cap on its bytes, on the silence between pieces, and on the whole time."""

    def __init__(self, receive: Receive, most_bytes: int, within_s: float) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._left_bytes = most_bytes
        self._within_s = within_s
        self._until: float | None = None
        self._whole = False

    async def receive(self) -> Message:
        """The next message. Raises Problem, which the application answers."""
        if self._whole:  # what comes now is the client's leaving, for which one may wait for hours
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + self._within_s
        try:
            async with asyncio.timeout(min(_SILENT_S, self._until - now)):
                message = await self._receive()
        except TimeoutError:
            told = "the body came too slowly"
            raise Problem(408, "too_slow", told, next_="try again", headers={"Connection": "close"}) from None
        self._count(message)
        return message

    def _count(self, message: Message) -> None:
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes < 0:
            raise too_large(self._most_bytes, headers={"Connection": "close"})
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)


def _is_upload(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) in UPLOADS


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded
