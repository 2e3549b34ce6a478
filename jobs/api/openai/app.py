"""/v1: the application of the OpenAI dialect, and how it words refusals."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from jobs.api.problems import Problem, answer_with_problems, problem_response


def make_app() -> FastAPI:
    app = FastAPI(title="imagemill, OpenAI dialect", openapi_url=None, redirect_slashes=False)
    answer_with_problems(app)
    return app


def is_open(_path: str) -> bool:
    """Nothing is answered without a token."""
    return False


def refuse(_request: Request, problem: Problem) -> Response:
    return problem_response(problem)
