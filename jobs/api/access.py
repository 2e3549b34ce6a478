"""Who calls, and what they may: decided before a body is read, the same for API, dialect and dashboard.

A caller is known by a token in the Authorization header, by the dashboard's session cookie, or, unless the server
is public, by calling from this machine. Whoever a browser could speak for (cookie, this machine) must also show
that our own page sent the request. Nothing is looked up for a stranger: a 401 says nothing about what exists.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.api.problems import Problem
from jobs.api.service import Service
from jobs.ledger import tokens
from jobs.ledger.tokens import TokenScope, allows

COOKIE = "imagemill_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="imagemill"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` stands in the record of acts. `form_token` goes into every form of a page shown to this caller."""

    name: str
    scopes: frozenset[TokenScope]
    by: Literal["token", "session", "local"]
    form_token: str = ""

    def may(self, *scopes: TokenScope) -> bool:
        """Whether any of the scopes is held."""
        return any(allows(self.scopes, scope) for scope in scopes)


class Access:
    """ASGI middleware around one application. Puts the Caller into `request.state.caller`.

    `open_paths` are answered without one. `cookies`: sessions count, as for the dashboard only. `refuse` words what
    is refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        open_paths: Callable[[str], bool],
        refuse: Callable[[Request, Problem], Response],
        cookies: bool = False,
    ) -> None:
        self._app = app
        self._open = open_paths
        self._refuse = refuse
        self._cookies = cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if not self._open(scope["path"]):
            try:
                request.state.caller = await run_in_threadpool(identify, request, cookies=self._cookies)
            except Problem as problem:
                await self._refuse(request, problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def identify(request: Request, *, cookies: bool = False) -> Caller:
    """The caller of a request. Raises Problem: 401, 403 for another site's request, 429 after many wrong tokens."""
    service: Service = request.state.service
    header = request.headers.get("authorization")
    if header is not None:
        return _bearer(service, request, header)
    session = request.cookies.get(COOKIE) if cookies else None
    caller = _session(service, session) if session else None
    if caller is None and is_local(service, request):
        caller = Caller(service.operator, frozenset({TokenScope.ADMIN}), "local", _local_form_token(service))
    if caller is None:
        told = "a token is needed"
        raise Problem(401, "token_needed", told, next_="imagemill token create NAME makes one", headers=_CHALLENGE)
    require_own_page(request)
    return caller


def verify(service: Service, request: Request, text: str) -> tokens.Token:
    """The live token that `text` is. Raises Problem; many wrong ones from one address have to wait."""
    address = request.client.host if request.client else ""
    digest = tokens.digest(text)
    wait_s = service.throttle.wait_s(address, digest)
    if wait_s:
        headers = {"Retry-After": str(wait_s)}
        raise Problem(429, "too_many_wrong_tokens", "too many wrong tokens", next_="wait", headers=headers)
    with service.ledger.read() as tx:
        found = tokens.find(tx, text)
    if found is None:
        service.throttle.was_wrong(address, digest)
        told = "the token is not valid: wrong, expired or revoked"
        raise Problem(401, "token_invalid", told, next_="ask for a new one", headers=_CHALLENGE)
    service.throttle.was_right(digest)
    return found


def is_local(service: Service, request: Request) -> bool:
    """Whether the caller is on this machine, as far as one can see. Behind a proxy nobody is."""
    if service.public or request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def require_own_page(request: Request) -> None:
    """Refuse what another site made a browser send. Programs send none of these headers; a person may follow a link
    to us from anywhere."""
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    following = request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-mode") == "navigate"
    ours = site in ("same-origin", "none") and (
        origin is None or urlsplit(origin).netloc == request.headers["host"]
    )
    if not ours and not (following and origin is None):
        told = "another site's page sent this request"
        raise Problem(403, "cross_site", told, next_="open the page here and act there")


def _bearer(service: Service, request: Request, header: str) -> Caller:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Problem(401, "token_needed", "say Authorization: Bearer TOKEN", headers=_CHALLENGE)
    found = verify(service, request, text.strip())
    return Caller(found.name, found.scopes, "token")


def _session(service: Service, text: str) -> Caller | None:
    with service.ledger.read() as tx:
        found = tokens.find_session(tx, text)
    return Caller(found.name, found.scopes, "session", _form_token(text)) if found else None


def _form_token(secret: str) -> str:
    """What only a page of this session knows, and what does not give the session away."""
    return hmac.new(secret.encode(), b"imagemill form", hashlib.sha256).hexdigest()


def _local_form_token(service: Service) -> str:
    return _form_token(service.form_secret)


def caller_of(request: Request) -> Caller:
    found = request.state.caller
    assert isinstance(found, Caller)
    return found


def needs(*scopes: TokenScope) -> Callable[..., Caller]:
    """A dependency: the caller, who holds any of the scopes. Raises Problem 403."""

    def caller(
        request: Request, _documented: Annotated[object, Depends(HTTPBearer(auto_error=False))] = None
    ) -> Caller:
        found = caller_of(request)
        if not found.may(*scopes):
            wanted = " or ".join(scopes)
            told = f"the token {found.name!r} has no scope {wanted}"
            raise Problem(403, "scope_missing", told, next_=f"use a token with the scope {wanted}")
        return found

    return caller


Reader = Annotated[Caller, Depends(needs(TokenScope.READ))]
Submitter = Annotated[Caller, Depends(needs(TokenScope.SUBMIT))]
Judge = Annotated[Caller, Depends(needs(TokenScope.SUBMIT, TokenScope.REVIEW))]
Treasurer = Annotated[Caller, Depends(needs(TokenScope.FINANCE))]
Administrator = Annotated[Caller, Depends(needs(TokenScope.ADMIN))]
