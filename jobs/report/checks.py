"""What a check found and what a submission became, as JSON: the same fields on the command line and over HTTP."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobs.manifest import CheckResult

if TYPE_CHECKING:
    from jobs.submit import Submission


def check_json(check: CheckResult) -> dict[str, Any]:
    cost = check.estimate
    return {
        "ok": check.ok,
        "rows": check.rows,
        "accepted": check.accepted,
        "images": check.images,
        "errors": check.errors,
        "warnings": check.warnings,
        "codes": dict(check.codes),
        "models": dict(check.models),
        "unpriced": check.unpriced,
        "low_nanodollars": cost.low,
        "expected_nanodollars": cost.expected,
        "ceiling_nanodollars": cost.ceiling,
        "problems": [asdict(problem) for problem in check.problems],
        "samples": [{"row": row.row, "custom_id": row.custom_id, "request": row.request} for row in check.samples],
    }


def submission_json(submission: "Submission", state: str | None) -> dict[str, Any]:
    return {
        "batch": submission.batch_id,
        "jobs": submission.jobs,
        "duplicate_of_earlier_submit": submission.duplicate,
        "state": state,
    }
