"""Sending jobs again: a click freezes what it means, a page names count and money, a second click does it."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from jobs.api.access import Caller, Reader
from jobs.api.dashboard.pages import Judging, missing, see, show
from jobs.api.problems import Problem
from jobs.api.service import Service, Serving
from jobs.ledger.browsing import TROUBLE, JobFilter, batch_row
from jobs.ledger.selections import Selection, freeze, read_selection, retry_selection
from jobs.ledger.tokens import TokenScope
from jobs.states import JobState

router = APIRouter()


@router.post("/batches/{batch_id}/selections")
def select(
    caller: Judging,
    service: Serving,
    batch_id: str,
    chosen: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "",
) -> Response:
    """`chosen` is a state, or a state and a cause: "failed", "failed:server_error"."""
    state, _, cause = chosen.partition(":")
    if state and state not in TROUBLE:
        raise Problem(400, "usage", f"{state!r} jobs are not sent again", next_="choose failed, refused or held")
    with service.ledger.read() as tx:
        if batch_row(tx, batch_id) is None:
            raise missing(f"batch {batch_id}")
    _require_scope(caller, state)
    filter_ = JobFilter(state or None, cause or None, model or None)
    made = service.ledger.write(freeze, batch_id, filter_, caller.name)
    return see(f"/selections/{made.id}")


@router.get("/selections/{selection_id}")
def look(request: Request, _caller: Reader, service: Serving, selection_id: str) -> Response:
    one = _selection(service, selection_id)
    with service.ledger.read() as tx:
        row = batch_row(tx, one.batch_id)
    return show(request, "selection.html", one=one, row=row)


@router.post("/selections/{selection_id}")
def send(caller: Judging, service: Serving, selection_id: str) -> Response:
    one = _selection(service, selection_id)
    _require_scope(caller, one.chosen.state or JobState.HELD)
    moved = service.ledger.write(retry_selection, selection_id, caller.name)
    service.wake(one.batch_id, moved)
    return see(f"/batches/{one.batch_id}", moved=moved)


def _selection(service: Service, selection_id: str) -> Selection:
    with service.ledger.read() as tx:
        found = read_selection(tx, selection_id)
    if found is None:
        raise missing("such selection")
    return found


def _require_scope(caller: Caller, state: str) -> None:
    """Held jobs may have been paid for already: sending them again is for those who may spend."""
    if state in ("", JobState.HELD) and not caller.may(TokenScope.SUBMIT):
        raise Problem(403, "scope_missing", "sending held jobs again needs the scope submit")
