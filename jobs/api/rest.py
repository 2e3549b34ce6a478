"""/api: the application of imagemill's own API, put together from its routers."""

import re
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from jobs.api import batches, events, images, money, rows, system
from jobs.api.live import Publisher
from jobs.api.problems import Problem, answer_with_problems, problem_response, translated

_OPEN = frozenset({"/api/health", "/api/openapi.json"})


def make_app(publisher: Publisher[Any]) -> FastAPI:
    """`publisher` is the process's; so it is in the dashboard."""
    app = FastAPI(
        title="imagemill",
        version=version("imagemill"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    answer_with_problems(app)
    app.state.publisher = publisher
    for module in (batches, rows, images, money, events, system):
        app.include_router(module.router)
    app.add_exception_handler(405, _wrong_method)
    return app


async def _wrong_method(request: Request, error: Exception) -> Response:
    """405, with every method that the path does have: they are routes of their own."""
    problem = translated(error)
    path = request.url.path.removeprefix("/api")
    operations = request.app.openapi()["paths"]
    methods = {
        method.upper()
        for template, found in operations.items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        for method in found
    }
    return problem_response(problem, {"Allow": ", ".join(sorted(methods))})


def is_open(path: str) -> bool:
    """Answered without a token: whether the server is there, and what it can be asked."""
    return path in _OPEN


def refuse(_request: Request, problem: Problem) -> Response:
    return problem_response(problem)
