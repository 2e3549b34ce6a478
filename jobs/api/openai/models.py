"""/v1/models: what the catalogue knows. An endpoint may take others; a name that is not here is only unknown."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from jobs.api.access import Reader
from jobs.api.paging import json_response
from jobs.api.problems import Problem
from jobs.catalogue.matrix import Model, find_model, matrix

router = APIRouter(prefix="/models")

_OWNER = "openai"


@router.get("")
def models(_caller: Reader) -> Response:
    return json_response({"object": "list", "data": [_model(model) for model in matrix().models.values()]})


@router.get("/{model}")
def model(_caller: Reader, model: Annotated[str, Path(max_length=200)]) -> Response:
    found = find_model(model)
    if found is None:
        raise Problem(404, "model_not_found", "there is no such model", next_="GET /v1/models", param="model")
    return json_response(_model(found))


def _model(model: Model) -> dict[str, Any]:
    told = {"id": model.id, "object": "model", "created": _seconds(model.api_start), "owned_by": _OWNER}
    ends = {"shutdown_date": model.shutdown_date.isoformat()} if model.shutdown_date else {}
    return told | ends


def _seconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
