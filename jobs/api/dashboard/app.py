"""/: the application of the dashboard, and how it words refusals."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from jobs.api.problems import Problem, answer_with_problems, problem_response


def make_app() -> FastAPI:
    app = FastAPI(title="imagemill dashboard", openapi_url=None, redirect_slashes=False)
    answer_with_problems(app)
    return app


def is_open(path: str) -> bool:
    """The way in, and what its page needs."""
    return path == "/login" or path.startswith("/static/")


def refuse(_request: Request, problem: Problem) -> Response:
    return problem_response(problem)
