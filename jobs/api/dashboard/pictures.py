"""The bytes of images for pages: as the API hands them out, to whoever is signed in here."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from jobs.api.access import Reader
from jobs.api.images import AttemptId, Index, find_image, image_response, thumbnail_response
from jobs.api.problems import Problem
from jobs.api.service import Serving

router = APIRouter()


@router.get("/files/{attempt}/{index}")
def whole(request: Request, _caller: Reader, service: Serving, attempt: AttemptId, index: Index) -> Response:
    """The provider's bytes, unchanged."""
    return image_response(request, service, find_image(service, attempt, index))


@router.get("/thumbnails/{attempt}/{index}")
def small(request: Request, _caller: Reader, service: Serving, attempt: AttemptId, index: Index) -> Response:
    """At most 320 px; the whole image where none can be made of it."""
    found = find_image(service, attempt, index)
    try:
        return thumbnail_response(request, service, found)
    except Problem:
        return image_response(request, service, found)
