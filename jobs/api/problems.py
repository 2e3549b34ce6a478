"""What goes wrong, as an answer: problem+json (RFC 9457) with `code` for programs and `next` for people.

Raised by routes and by the layers around them; imagemill's own exceptions are translated in one table.
"""

import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from jobs.errors import Conflict, ImagemillError, LedgerAway, LedgerError, ManifestError, SchemaMismatch, UsageError
from jobs.events import tell
from jobs.ledger.engine import RolledBack

MEDIA_TYPE = "application/problem+json"


class Problem(HTTPException):
    """An answer that is a refusal. `code` is stable; `next` says what to do; `more` are further members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        next_: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.next = next_
        self.more = more


def problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.detail,
        "code": problem.code,
        "next": problem.next,
        **problem.more,
    }


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """`headers` win over the problem's own."""
    told = {**(problem.headers or {}), **(headers or {})}
    return JSONResponse(problem_json(problem), problem.status_code, headers=told, media_type=MEDIA_TYPE)


_TRANSLATED: Sequence[tuple[type[ImagemillError], int, str, str | None]] = (
    (ManifestError, 422, "manifest_unreadable", "correct the file; `?dry_run=1` shows every problem"),
    (UsageError, 400, "usage", None),
    (LedgerAway, 503, "ledger_away", "try again in a few seconds; nothing was decided"),
    (RolledBack, 503, "ledger_busy", "try again"),
    (SchemaMismatch, 503, "schema_mismatch", "run `imagemill db upgrade`, then start `imagemill serve` anew"),
    (Conflict, 409, "conflict", "look at the present state and decide again"),
    (LedgerError, 500, "ledger", None),
    (ImagemillError, 500, "error", None),
)
"""The first line that fits an exception counts."""
_CODES = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large"}


def translated(error: Exception) -> Problem:
    """Any exception as a Problem; what nobody foresaw shows nothing of itself."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        told = [_complaint(one) for one in error.errors()]
        return Problem(422, "invalid_request", "; ".join(told[:5]), next_="/api/openapi.json says what is taken")
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "http")
        return Problem(error.status_code, code, str(error.detail), headers=error.headers)
    for kind, status, code, next_ in _TRANSLATED:
        if isinstance(error, kind):
            headers = {"Retry-After": "5"} if status == 503 else None
            return Problem(status, code, str(error), next_=next_, headers=headers)
    tell("request_failed", error=repr(error)[:500], where=_place_of(error))
    return Problem(
        500, "internal_error", "imagemill failed; its log says why", next_="try again; report it if it stays"
    )


def _place_of(error: Exception) -> str:
    """File and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"


def answer_with_problems(app: FastAPI) -> None:
    """Every error of the application as problem+json."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_response(translated(error))

    for kind in (ImagemillError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _complaint(one: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in one["loc"])
    return f"{place}: {one['msg']}"
