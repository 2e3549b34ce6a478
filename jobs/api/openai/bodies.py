"""JSON bodies of the dialect: read strictly, judged field by field, refused with the name of the field."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from jobs.api.problems import Problem
from jobs.manifest.strictjson import BadLine, parse_line

M = TypeVar("M", bound=BaseModel)


async def json_object(request: Request) -> dict[str, Any]:
    """The body. Raises Problem 400 for what is no JSON object."""
    try:
        value = parse_line(await request.body())
    except ClientDisconnect:
        raise Problem(400, "cut", "the body ended early", next_="send it again") from None
    except BadLine as bad:
        raise Problem(400, "bad_json", bad.complaint.message, next_=bad.complaint.next) from None
    if not isinstance(value, dict):
        raise Problem(400, "bad_json", "the body is not a JSON object", next_="send {...}")
    return value


def judged(kind: type[M], value: object) -> M:
    """The value as the model says. Raises Problem 400 that names the first field that does not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(map(str, first["loc"]))
        raise Problem(400, "invalid_value", f"{param}: {first['msg']}", param=param) from None
