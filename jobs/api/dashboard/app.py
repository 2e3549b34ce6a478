"""/: the application of the dashboard, pages over the ledger that work without a script; how it words refusals."""

from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from jobs.api.dashboard import (
    batches,
    budgets,
    costs,
    doubts,
    entry,
    fleet,
    pictures,
    retrying,
    rows,
    static,
    submitting,
)
from jobs.api.dashboard.pages import show
from jobs.api.live import Publisher
from jobs.api.problems import Problem, translated
from jobs.errors import ImagemillError


def make_app(publisher: Publisher[Any]) -> FastAPI:
    app = FastAPI(title="imagemill dashboard", openapi_url=None, redirect_slashes=False)
    app.state.publisher = publisher
    for kind in (ImagemillError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)
    for module in (batches, rows, pictures, retrying, costs, budgets, doubts, fleet, submitting, entry, static):
        app.include_router(module.router)
    return app


def is_open(path: str) -> bool:
    """The way in, and what its page needs."""
    return path == "/login" or path.startswith("/static/")


def refuse(request: Request, problem: Problem) -> Response:
    """A stranger who wants to see a page is shown the way in; all else is a page that says what is wrong."""
    if problem.status_code == 401 and request.method == "GET" and "authorization" not in request.headers:
        then = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/login" if then == "/" else f"/login?{urlencode({'then': then})}", 303)
    answer = show(request, "problem.html", problem.status_code, problem=problem)
    answer.headers.update(problem.headers or {})
    return answer


async def _answer(request: Request, error: Exception) -> Response:
    return refuse(request, translated(error))
