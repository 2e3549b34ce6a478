"""The body of a submission: any manifest as it is, in a form, or rows as JSON. All end as one file on the disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import Any

import msgspec
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from jobs.api.problems import Problem
from jobs.api.service import Service
from jobs.api.settings import S, overlaid, with_fields
from jobs.api.uploads import Upload, received
from jobs.manifest.strictjson import BadLine, parse_line

_MOST_JSON_BYTES = 8 * 1024 * 1024
"""JSON is read whole; lines of JSON are not."""
_NAMELESS = "api"

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["rows"],
                "properties": {
                    "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    "settings": {"type": "object", "description": "as in the query; wins over it"},
                },
                "additionalProperties": False,
            }
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["manifest"],
                "properties": {"manifest": {"type": "string", "format": "binary"}},
            }
        },
        "application/x-ndjson": {"schema": {"type": "string"}},
        "text/csv": {"schema": {"type": "string"}},
    },
}
"""For the OpenAPI document. Any other type is taken as well: formats are known by their content."""


@asynccontextmanager
async def received_manifest(
    request: Request, service: Service, settings: S
) -> AsyncIterator[tuple[Upload, S, str]]:
    """The manifest, the settings with those of the body over them, and a name for the batch."""
    async with received(request, service.uploads) as upload:
        told = with_fields(settings, upload.fields)
        if upload.media_type == "application/json":
            told = overlaid(settings, await run_in_threadpool(_unpack, upload))
        yield upload, told, PurePath(upload.name).stem or _NAMELESS if upload.name else _NAMELESS


def _unpack(upload: Upload) -> dict[str, Any]:
    """Turn {"rows": [...], "settings": {...}} into lines, in place; returns the settings. Raises Problem."""
    if upload.bytes > _MOST_JSON_BYTES:
        told = f"a JSON body is larger than {_MOST_JSON_BYTES:,} bytes"
        raise Problem(413, "too_large", told, next_="send the rows as lines: application/x-ndjson")
    try:
        value = parse_line(upload.path.read_bytes())
    except BadLine as error:
        raise Problem(400, "bad_json", error.complaint.message, next_=error.complaint.next) from None
    if not isinstance(value, dict) or not value.keys() <= {"rows", "settings"}:
        raise _unfit("the body is an object with `rows` and maybe `settings`")
    rows, settings = value.get("rows"), value.get("settings", {})
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise _unfit("`rows` is a list of objects, one for each row")
    if not isinstance(settings, dict):
        raise _unfit("`settings` is an object")
    upload.path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return settings


def _unfit(told: str) -> Problem:
    return Problem(422, "invalid_request", told, next_="/api/openapi.json says what is taken")
