"""/api/images: the bytes as they came, and thumbnails. The type is that of the bytes; what may be a program is only
handed out as a file.
"""

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse, Response

from jobs.api import shapes
from jobs.api.access import Reader
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.ledger.details import Image, read_image

router = APIRouter(prefix="/images/{attempt}/{index}", tags=["images"], responses=shapes.PROBLEMS)

AttemptId = Annotated[str, Path(max_length=40)]
Index = Annotated[int, Path(ge=0, le=1_000)]

_SHOWN = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cache-Control": "private, max-age=31536000, immutable",
}
"""An image never changes: its address names the attempt that brought it."""
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("", response_class=Response, responses=_BYTES)
def image(request: Request, service: Serving, _caller: Reader, attempt: AttemptId, index: Index) -> Response:
    """The file as the endpoint sent it."""
    found = find_image(service, attempt, index)
    return image_response(request, service, found)


@router.get("/thumbnail", response_class=Response, responses=_BYTES)
def thumbnail(request: Request, service: Serving, _caller: Reader, attempt: AttemptId, index: Index) -> Response:
    """A WebP of at most 320 px; 404 where none can be made."""
    found = find_image(service, attempt, index)
    return thumbnail_response(request, service, found)


def find_image(service: Service, attempt: str, index: int) -> Image:
    """Raises Problem 404."""
    with service.ledger.read() as tx:
        found = read_image(tx, attempt, index)
    if found is None:
        raise Problem(404, "no_such_image", "there is no such image", next_="GET /api/batches/{batch}/images")
    return found


def image_response(request: Request, service: Service, found: Image) -> Response:
    """Shown in place if its bytes are a picture's, else handed out as a file."""
    path = _there(service, found)
    shown = _SHOWN.get(found.format)
    disposition = "inline" if shown else "attachment"
    headers = _HEADERS | {"ETag": f'"{found.sha256}"'}
    if _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return FileResponse(
        path,
        media_type=shown or "application/octet-stream",
        filename=path.name,
        content_disposition_type=disposition,
        headers=headers,
    )


def thumbnail_response(request: Request, service: Service, found: Image) -> Response:
    """Raises Problem 404 where no thumbnail can be made."""
    headers = _HEADERS | {"ETag": f'"{found.sha256}-small"'}
    if _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    made = service.thumbnails.small(_there(service, found), found.sha256, found.width, found.height)
    if made is None:
        raise Problem(404, "no_thumbnail", "no thumbnail can be made of it", next_="take the image itself")
    return FileResponse(made, media_type="image/webp", headers=headers)


def _there(service: Service, found: Image) -> FilePath:
    path = service.store.path_of(found.path)
    if not path.is_file():
        told = "the image's file is not in the store"
        raise Problem(404, "image_gone", told, next_="see that IMAGEMILL_STORAGE_URL is the workers'")
    return path


def _is_known(request: Request, etag: str) -> bool:
    return etag in request.headers.get("if-none-match", "")
