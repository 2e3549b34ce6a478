"""Submitting a manifest from a page: upload, check and price, then a yes. Nothing is recorded before the yes."""

from pathlib import PurePath

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from jobs.api import submissions
from jobs.api.access import Submitter
from jobs.api.dashboard import drafts
from jobs.api.dashboard.pages import Submitting, missing, see, show
from jobs.api.service import Service, Serving
from jobs.api.sessions import FORM_FIELD, require_form
from jobs.api.settings import BatchSettings, policy_of, reading_of, with_fields
from jobs.api.uploads import Upload, received
from jobs.manifest import CheckResult
from jobs.money import parse_dollars
from jobs.submit import Policy

router = APIRouter()

_PAIRS = ("map", "tag")
_LISTS = ("tag_columns", "require_tags")


@router.get("/submit")
def form(request: Request, _caller: Submitter) -> Response:
    return show(request, "submit.html")


@router.post("/submit")
async def check(request: Request, caller: Submitter, service: Serving) -> Response:
    """Receive, check, price; then show what was found."""
    async with received(request, service.uploads) as upload:
        fields = dict(upload.fields)
        if caller.by != "token":
            require_form(caller, fields.get(FORM_FIELD, ""))
        told = with_fields(BatchSettings.model_validate({}), _fields(upload.fields))
        found = await run_in_threadpool(_check, service, upload, told)
        draft_id = await run_in_threadpool(drafts.keep, service, caller.name, upload, told, found)
    return see(f"/submit/{draft_id}")


@router.get("/submit/{draft_id}")
def look(request: Request, caller: Submitter, service: Serving, draft_id: str) -> Response:
    draft = drafts.read(service, caller.name, draft_id)
    if draft is None:
        raise missing("such manifest: it was submitted, or dropped after a day; it")
    budget = draft.told.budget_dollars
    budget_nano = parse_dollars(budget) if budget else None
    return show(request, "check.html", draft=draft, found=draft.found, budget_nano=budget_nano)


@router.post("/submit/{draft_id}")
def confirm(caller: Submitting, service: Serving, draft_id: str) -> Response:
    draft = drafts.read(service, caller.name, draft_id)
    if draft is None:
        raise missing("such manifest: it was submitted, or dropped after a day; it")
    policy = _policy(draft.told, draft.upload)
    batch_id, _ = submissions.record(service, caller.name, draft.upload, reading_of(draft.told), policy)
    drafts.forget(service, draft_id)
    return see(f"/batches/{batch_id}")


def _check(service: Service, upload: Upload, told: BatchSettings) -> CheckResult:
    return submissions.check(service, upload, reading_of(told), _policy(told, upload))


def _policy(told: BatchSettings, upload: Upload) -> Policy:
    return policy_of(told, PurePath(upload.name or "manifest").stem)


def _fields(given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A form sends every field, the empty ones too; pairs stand on lines of their own, lists between commas."""
    found: list[tuple[str, str]] = []
    for name, value in given:
        if name in _PAIRS:
            parts = value.splitlines()
        elif name in _LISTS:
            parts = value.split(",")
        else:
            parts = [value] if name != FORM_FIELD else []
        found += [(name, part.strip()) for part in parts if part.strip()]
    return found
