"""Why jobs failed, and what to do: the commonest causes in words, each with the command that comes next.

Causes are the error kinds of the ledger: the API's own code where it gave one, else ours. One that is not in the
table gets the advice of its job state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.ledger.figures import causes, job_message
from jobs.ledger.overview import Transaction
from jobs.report.table import STATE_STYLES, Cell, Column, Table
from jobs.report.words import usd

_RETRY = "imagemill retry {batch} --failed"
_HELD = "imagemill retry {batch} --held"
_RESOLVE = "imagemill resolve --batch {batch} --books FILE"

_REWORD = "reword the prompt and submit that row again; the same prompt will be refused again"

_MAYBE_PAID = f"maybe paid already: `{_RESOLVE}` settles it by the provider's books, `{_HELD}` sends again"
_BAD_PICTURE = f"paid, but the picture is broken; `{_RETRY}` asks again, as a new charge"
_BAD_LINK = f"paid, but the picture's link did not work; `{_RETRY}` asks again, as a new charge"
_ACCOUNT = f"put the account right, `imagemill resume`, then `{_RETRY}`"
_NEVER = "the request can never work: correct the row in the manifest and submit it anew"
_UNREACHED = f"never sent: check IMAGEMILL_ENDPOINT_URL with `imagemill doctor`, then `{_RETRY}`"

_ADVICE = {
    **dict.fromkeys(("moderation_blocked", "content_policy_violation", "content_filter"), _REWORD),
    **dict.fromkeys(("billing", "billing_hard_limit_reached", "insufficient_quota"), _ACCOUNT),
    **dict.fromkeys(("invalid_value", "invalid_type", "unknown_parameter", "string_above_max_length"), _NEVER),
    **dict.fromkeys(("connect_failed", "connect_timeout", "dns_failed", "tls_failed", "proxy_failed"), _UNREACHED),
    **dict.fromkeys(("not_an_image", "image_cut", "image_empty", "image_header", "images_missing"), _BAD_PICTURE),
    **dict.fromkeys(("image_too_large", "image_too_many_pixels", "no_image", "malformed_answer"), _BAD_PICTURE),
    "invalid_api_key": f"set a valid IMAGEMILL_API_KEY, `imagemill resume`, then `{_RETRY}`",
    "permission_denied": f"let the key use this model or change the model, `imagemill resume`, then `{_RETRY}`",
    "redirected": "set IMAGEMILL_ENDPOINT_URL to the final address, then `imagemill resume`",
    "model_not_found": "the endpoint does not know this model: correct it in the manifest, submit those rows anew",
    "rate_limit_exceeded": f"too fast for too long: state the limit with --requests-per-minute, then `{_RETRY}`",
    "server_error": f"the endpoint failed each time: wait a little, then `{_RETRY}`",
    "worker_lost": f"the worker ended during the call, {_MAYBE_PAID}",
    "deadline_passed": f"no answer by IMAGEMILL_DEADLINE_S, {_MAYBE_PAID}",
    "billed_lost": f"paid, and the answer is lost; `{_RETRY}` asks again, as a new charge",
    "not_billed": f"never paid for: `{_RETRY}` sends it again",
    "image_url_failed": _BAD_LINK,
    "blocked_url": "paid, but its link names a private host: --allow-private-hosts lets it in",
}

_BY_STATE = {
    "failed": f"if the cause is gone: `{_RETRY}`",
    "refused": _REWORD,
    "held": _MAYBE_PAID,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Jobs that ended for one reason."""

    state: str
    kind: str
    jobs: int
    possible_nano: int
    custom_id: str
    """An example, the first of them."""
    message: str
    advice: str


def advice(batch_id: str, state: str, kind: str | None) -> str:
    return _ADVICE.get(kind or "", _BY_STATE[state]).format(batch=batch_id)


def read_causes(tx: Transaction, batch_id: str) -> list[Cause]:
    """Failed, refused and held jobs of the batch by cause, the commonest first."""
    found = []
    for row in causes(tx, batch_id):
        custom_id, message = job_message(tx, batch_id, row.row)
        told = advice(batch_id, row.state, row.error_kind)
        possible, kind = int(row.possible_nano or 0), row.error_kind or "not known"
        found.append(Cause(row.state, kind, row.jobs, possible, custom_id, message or "", told))
    return found


def causes_table(found: Sequence[Cause]) -> Table:
    columns = (
        Column("jobs", number=True),
        Column("state"),
        Column("cause"),
        Column("example"),
        Column("what to do"),
    )
    rows: list[list[Cell]] = [
        [cause.jobs, cause.state, cause.kind, _example(cause), cause.advice] for cause in found
    ]
    return Table(columns, rows, styles=STATE_STYLES)


def cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "state": cause.state,
        "cause": cause.kind,
        "jobs": cause.jobs,
        "possible_nanodollars": cause.possible_nano,
        "example": {"custom_id": cause.custom_id, "message": cause.message},
        "what_to_do": cause.advice,
    }


def _example(cause: Cause) -> str:
    possible = f" (possible {usd(cause.possible_nano)})" if cause.possible_nano else ""
    return f"{cause.custom_id}: {cause.message}{possible}"
