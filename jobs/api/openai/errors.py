"""Refusals as the SDKs understand them: {"error": {message, type, param, code}}, and whether to try again."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from jobs.api.problems import Problem, translated
from jobs.errors import ImagemillError

FINAL = {"x-should-retry": "false"}
"""Said to SDKs that would repeat a 409, 429 or 5xx by themselves."""
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_response(problem: Problem) -> JSONResponse:
    """The problem in the dialect's shape. What cannot be processed is a bad request there."""
    status = 400 if problem.status_code == 422 else problem.status_code
    told = f"{problem.detail}; {problem.next}" if problem.next else problem.detail
    headers = (FINAL if status == 409 else {}) | dict(problem.headers or {})
    error = {
        "message": told,
        "type": problem.more.get("type") or type_of(status),
        "param": problem.more.get("param"),
        "code": problem.code,
    }
    return JSONResponse({"error": error}, status, headers=headers)


def type_of(status: int) -> str:
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def answer_with_errors(app: FastAPI) -> None:
    """Every error of the application in the dialect's shape."""

    async def answer(_request: Request, error: Exception) -> Response:
        return error_response(translated(error))

    for kind in (ImagemillError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
