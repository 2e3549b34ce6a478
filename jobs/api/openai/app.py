"""/v1: the application of the OpenAI dialect, and how it words refusals."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from jobs.api.openai import batches, files, generations, models
from jobs.api.openai.collecting import Collector
from jobs.api.openai.errors import answer_with_errors, error_response
from jobs.api.problems import Problem


def make_app() -> FastAPI:
    app = FastAPI(title="imagemill, OpenAI dialect", openapi_url=None, redirect_slashes=False)
    answer_with_errors(app)
    app.state.collector = Collector()
    for module in (files, batches, generations, models):
        app.include_router(module.router)
    return app


def is_open(_path: str) -> bool:
    """Nothing is answered without a token."""
    return False


def refuse(_request: Request, problem: Problem) -> Response:
    return error_response(problem)
