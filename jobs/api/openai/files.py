"""/v1/files: manifests on their way to a batch, and the outputs that batches have when they have ended.

An upload is a file in the data folder under a name of ours, durable before its row is written. A recorded batch no
longer needs the file it came in: it may be deleted at any time.
"""

import time
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathPart
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from jobs import files as disk
from jobs.api.access import Reader, Submitter
from jobs.api.openai import lines
from jobs.api.openai.bodies import judged
from jobs.api.openai.collecting import Collector
from jobs.api.openai.wishes import is_images_as_urls
from jobs.api.paging import json_response
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.api.uploads import Upload, received
from jobs.ledger import dialect, files
from jobs.ledger.files import BATCH, BATCH_OUTPUT, File

router = APIRouter(prefix="/files")

_LIVES_S = 30 * 24 * 3600
_ORPHAN_AFTER_S = 3600.0
_MOST = 10_000

FileId = Annotated[str, PathPart(max_length=100)]


class Lifetime(BaseModel):
    """`expires_after` and `output_expires_after`."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=_LIVES_S)


class Told(BaseModel):
    """The fields of an upload's form, beside the file."""

    model_config = ConfigDict(extra="forbid")

    purpose: Literal["batch"]
    expires_after: Lifetime | None = None


@router.post("")
async def create(request: Request, service: Serving, _caller: Submitter) -> Response:
    """Take a manifest in: OpenAI Batch lines, or any other that imagemill knows."""
    async with received(request, service.uploads) as upload:
        if upload.media_type != "multipart/form-data":
            raise Problem(400, "bad_form", "the body is not multipart/form-data", next_="send the file in a form")
        told = judged(Told, _nested(upload.fields))
        lives_s = told.expires_after.seconds if told.expires_after else _LIVES_S
        file = await run_in_threadpool(_keep, service, upload, lives_s)
    return json_response(file_json(file))


@router.get("")
def list_files(
    request: Request,
    service: Serving,
    _caller: Reader,
    purpose: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    collector_of(request).look_at_all(service)
    behind = find(service, after) if after is not None else None
    with service.ledger.read() as tx:
        found = files.list_files(tx, purpose, limit + 1, behind, newest_first=order == "desc")
    return listed([file_json(file) for file in found], limit)


@router.get("/{file_id}")
def retrieve(service: Serving, _caller: Reader, file_id: FileId) -> Response:
    return json_response(file_json(find(service, file_id)))


@router.delete("/{file_id}")
def delete(service: Serving, _caller: Submitter, file_id: FileId) -> Response:
    """Remove an upload from the disk, or an output from the list; rows and images of the batch stay."""
    if not service.ledger.write(files.remove, file_id):
        raise _no_such(file_id)
    disk.unlink(_folder(service) / file_id)
    return json_response({"id": file_id, "object": "file", "deleted": True})


@router.get("/{file_id}/content")
def content(
    service: Serving,
    _caller: Reader,
    file_id: FileId,
    images: Annotated[Literal["b64_json", "url"] | None, Query(description="of an output file")] = None,
) -> Response:
    """The bytes of an upload; the lines of an output, made while they are read."""
    found = find(service, file_id)
    if found.purpose == BATCH_OUTPUT:
        return _output(service, found, images)
    path = bytes_of(service, found)
    return FileResponse(path, media_type="application/octet-stream", filename=found.name)


def find(service: Service, file_id: str) -> File:
    """Raises Problem 404."""
    with service.ledger.read() as tx:
        found = files.find(tx, file_id)
    if found is None:
        raise _no_such(file_id)
    return found


def bytes_of(service: Service, file: File) -> Path:
    """Where an upload lies. Raises Problem 404 where this server has not got it."""
    path = _folder(service) / file.id
    if not path.is_file():
        told = "the file's bytes are not in this server's data folder"
        raise Problem(404, "file_elsewhere", told, next_="ask the server it was sent to, or share the folder")
    return path


def file_json(file: File) -> dict[str, Any]:
    told = {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at // 1000,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }
    return told if file.expires_at is None else told | {"expires_at": file.expires_at // 1000}


def listed(found: list[dict[str, Any]], limit: int) -> Response:
    """A page in the dialect; one more row than `limit` was read, if there is one."""
    data = found[:limit]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return json_response({"object": "list", "data": data, **ends, "has_more": len(found) > limit})


def collector_of(request: Request) -> Collector:
    collector = request.app.state.collector
    assert isinstance(collector, Collector)
    return collector


def _nested(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """A form's `expires_after[seconds]` as it would be in JSON."""
    told: dict[str, Any] = {}
    for name, value in fields:
        outer, bracket, inner = name.partition("[")
        if bracket:
            told.setdefault(outer, {})[inner.removesuffix("]")] = value
        else:
            told[outer] = value
    return told


def _keep(service: Service, upload: Upload, lives_s: int) -> File:
    """Give the upload its place, then its row: what has no row is swept, what has one is whole."""
    folder = _folder(service)
    disk.make_folder(folder)
    _sweep(service, folder)
    file_id = f"file-{uuid.uuid4().hex}"
    disk.fsync(upload.path)
    disk.rename(upload.path, folder / file_id)
    disk.fsync_folder(folder)
    name = upload.name or "file.jsonl"
    return service.ledger.write(files.add, file_id, BATCH, name, upload.bytes, upload.sha256, lives_s)


def _sweep(service: Service, folder: Path) -> None:
    """Remove the bytes of files that expired, or whose upload or deletion was cut short."""
    before = time.time() - _ORPHAN_AFTER_S
    old = {path.name: path for path in folder.iterdir() if path.stat().st_mtime < before}
    with service.ledger.read() as tx:
        live = files.live_among(tx, old)
    for name, path in old.items():
        if name not in live:
            disk.unlink(path)


def _output(service: Service, file: File, images: str | None) -> Response:
    with service.ledger.read() as tx:
        known = dialect.batch_of_output(tx, file.id)
    if known is None:
        raise Problem(404, "not_ready", "the batch was taken up again", next_="wait until it has ended")
    as_urls = images == "url" if images else is_images_as_urls(known.asked.metadata)
    states = lines.OUTPUT if file.id == known.output_file_id else lines.ERRORS
    pieces = lines.file_pieces(service, known.asked.id, states, as_urls=as_urls)
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}  # a name of ours
    return StreamingResponse(lines.written(service, pieces), media_type="application/octet-stream", headers=headers)


def _folder(service: Service) -> Path:
    return service.settings.data_dir.absolute() / "files"


def _no_such(file_id: str) -> Problem:
    told = f"there is no file {file_id!r}: it was deleted, has expired, or never was"
    return Problem(404, "file_not_found", told, next_="GET /v1/files lists them", param="file_id")
