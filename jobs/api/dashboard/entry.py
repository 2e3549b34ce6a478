"""The way in and out: a token for a cookie."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from jobs.api import sessions
from jobs.api.dashboard.pages import posts, see, show
from jobs.api.problems import Problem
from jobs.api.service import Serving
from jobs.ledger.tokens import TokenScope

router = APIRouter()


@router.get("/login")
def ask(request: Request, then: str = "/") -> Response:
    return show(request, "login.html", then=_own(then), problem=None)


@router.post("/login")
def log_in(
    request: Request, service: Serving, token: Annotated[str, Form()] = "", then: Annotated[str, Form()] = "/"
) -> Response:
    try:
        session = sessions.log_in(service, request, token)
    except Problem as problem:
        return show(request, "login.html", problem.status_code, then=_own(then), problem=problem)
    answer = see(_own(then))
    sessions.set_cookie(request, answer, session)
    return answer


@router.post("/logout")
def log_out(request: Request, service: Serving, form_token: Annotated[str, Form()] = "") -> Response:
    posts(TokenScope.READ)(request.state.caller, form_token)
    sessions.log_out(service, request)
    answer = see("/login")
    sessions.clear_cookie(request, answer)
    return answer


def _own(path: str) -> str:
    """A path on this server; anything else is the first page."""
    parts = urlsplit(path)
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if ours and path.isprintable() else "/"
