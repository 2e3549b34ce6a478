"""/api: the application of imagemill's own API, put together from its routers."""

from importlib.metadata import version

from fastapi import FastAPI, Request
from starlette.responses import Response

from jobs.api import batches, events, images, money, rows, system
from jobs.api.live import Publisher
from jobs.api.problems import Problem, answer_with_problems, problem_response

_OPEN = frozenset({"/api/health", "/api/openapi.json"})


def make_app() -> FastAPI:
    app = FastAPI(
        title="imagemill",
        version=version("imagemill"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    answer_with_problems(app)
    app.state.publisher = Publisher()
    for module in (batches, rows, images, money, events, system):
        app.include_router(module.router)
    return app


def is_open(path: str) -> bool:
    """Answered without a token: whether the server is there, and what it can be asked."""
    return path in _OPEN


def refuse(_request: Request, problem: Problem) -> Response:
    return problem_response(problem)
