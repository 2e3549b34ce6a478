"""The files of the pages: style, scripts, their licence. Few, read once, and named by their content: browsers keep
them for good and asks anew after an upgrade."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

from jobs.api.problems import Problem

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
}
_KEEP = {"Cache-Control": "public, max-age=31536000, immutable"}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    version: str


def url(name: str) -> str:
    """Where a page finds a file. Raises KeyError for one that is not there."""
    return f"/static/{name}?v={_files()[name].version}"


@router.get("/static/{name}")
def serve(name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise Problem(404, "not_found", "there is no such file")
    return Response(found.content, media_type=found.media_type, headers=_KEEP)


@lru_cache(1)
def _files() -> Mapping[str, _File]:
    folder = resources.files("jobs.api.dashboard").joinpath("static")
    found = {}
    for entry in folder.iterdir():
        media_type = _TYPES.get(entry.name.rpartition(".")[2])
        if media_type:
            content = entry.read_bytes()
            found[entry.name] = _File(content, media_type, hashlib.sha256(content).hexdigest()[:12])
    return found
