"""What the API's answers look like, for its OpenAPI document: the fields of the command line's --json outputs.

Documentation that a test holds true; answers are not built from these. More fields may be added, none renamed.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs.api.problems import MEDIA_TYPE


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class ProblemShape(_Shape):
    """RFC 9457, with `code` for programs and `next` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    next: str | None


class Health(_Shape):
    status: str


class Submitted(_Shape):
    batch: str
    jobs: int
    duplicate_of_earlier_submit: bool
    state: str


class Check(_Shape):
    ok: bool
    rows: int
    accepted: int
    images: int
    errors: int
    warnings: int
    codes: dict[str, int]
    models: dict[str, int]
    unpriced: int
    low_nanodollars: int | None
    expected_nanodollars: int | None
    ceiling_nanodollars: int | None
    problems: list[dict[str, Any]]
    samples: list[dict[str, Any]]


class BatchLine(_Shape):
    batch: str
    name: str
    state: str
    jobs: int
    succeeded: int
    confirmed_nanodollars: int
    possible_nanodollars: int
    reserved_nanodollars: int
    budget_nanodollars: int | None
    created_at: str


class Batches(_Shape):
    batches: list[BatchLine]
    next: str | None


class Standing(_Shape):
    batch: str | None
    name: str | None
    state: str | None
    jobs: dict[str, int]
    attempts: dict[str, int]
    images: int
    confirmed_nanodollars: int
    possible_nanodollars: int
    reserved_nanodollars: int
    budget_nanodollars: int | None
    unpriced_attempts: int
    rate_per_s: float | None
    eta_s: float | None
    waiting_for: str | None


class Group(_Shape):
    key: str
    attempts: int
    images: int
    charged_nanodollars: int
    possible_nanodollars: int
    unpriced: int


class Report(Standing):
    by: str
    groups: list[Group]


class Job(_Shape):
    batch: str
    row: int
    custom_id: str
    state: str
    model: str
    attempts: int
    images: int
    charged_nanodollars: int
    possible_nanodollars: int
    error_kind: str | None
    error_message: str | None
    tags: dict[str, str]


class Jobs(_Shape):
    jobs: list[Job]
    next: str | None


class Attempt(_Shape):
    id: str
    batch: str
    row: int
    custom_id: str
    number: int
    worker: str
    admitted_at: str
    ended_at: str | None
    outcome: str | None
    http_status: int | None
    request_id: str | None
    usage: dict[str, Any] | None
    ceiling_nanodollars: int
    charged_nanodollars: int | None
    possible_nanodollars: int
    priced_by: str | None


class Attempts(_Shape):
    attempts: list[Attempt]
    next: str | None


class Image(_Shape):
    batch: str
    row: int
    custom_id: str
    attempt: str
    index: int
    url: str
    thumbnail_url: str
    sha256: str
    bytes: int
    format: str
    width: int | None
    height: int | None
    revised_prompt: str | None


class Images(_Shape):
    images: list[Image]
    next: str | None


class Causes(_Shape):
    batch: str
    causes: list[dict[str, Any]]


class Act(_Shape):
    id: int
    at: str
    who: str
    verb: str
    batch: str | None
    what: dict[str, Any]
    evidence: str | None


class Acts(_Shape):
    acts: list[Act]
    next: str | None


class Budget(_Shape):
    scope: str
    key: str
    cap_nanodollars: int
    confirmed_nanodollars: int
    possible_nanodollars: int
    reserved_nanodollars: int
    room_nanodollars: int
    full: bool


class Budgets(_Shape):
    budgets: list[Budget]


class Moved(_Shape):
    batch: str
    moved: bool
    state: str


class JobsMoved(_Shape):
    batch: str
    jobs: int
    state: str = Field(description="of the batch, afterwards")


class Retried(_Shape):
    batch: str
    jobs: int
    worst_case_nanodollars: int
    dry_run: bool


class Lifted(_Shape):
    endpoint_pauses_lifted: int


class Resolved(_Shape):
    attempts: int
    billed_nanodollars: int
    freed_nanodollars: int
    jobs_failed: int
    jobs_queued: int
    dry_run: bool


_AS_PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemShape"}}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"model": ProblemShape, "description": "A problem", "content": {MEDIA_TYPE: {}}},
}
"""Every answer that is not one of the named ones."""
