"""Standings and reports made up for the tests of what is shown."""

from typing import Any

from jobs.ledger.figures import Group, Span, Standing
from jobs.ledger.overview import Glimpse
from jobs.report.costs import CostReport
from jobs.states import JobState


def standing(jobs: dict[str, int] | None = None, **changes: Any) -> Standing:
    """A batch in the middle of its work; `jobs` replaces its counts by state."""
    counts = {"queued": 552, "running": 24, "succeeded": 410, "failed": 9, "refused": 3, "held": 2}
    values: dict[str, Any] = {
        "batch": "b_7Q2M4X9K",
        "name": "catalogue-autumn",
        "state": "open",
        "jobs": {state.value: (counts if jobs is None else jobs).get(state.value, 0) for state in JobState},
        "attempts": {"succeeded": 410, "throttled": 31, "open": 24},
        "images": 410,
        "confirmed_nano": 17_083_241_000,
        "possible_nano": 80_000_000,
        "reserved_nano": 1_000_000_000,
        "unpriced_attempts": 0,
        "budget_nano": 50_000_000_000,
        "rate_per_s": 0.91,
        "mean_rate_per_s": 0.84,
        "eta_s": 630.0,
        "waiting_for": None,
        "opened_at": 1_795_000_000_000,
        "ended_at": None,
    }
    return Standing(**{**values, **changes})


def glimpse(**changes: Any) -> Glimpse:
    values: dict[str, Any] = {
        "last_custom_id": "004417_2",
        "last_outcome": "succeeded",
        "last_charged_nano": 41_000_000,
        "median_s": 21.0,
        "slow_s": 44.2,
        "causes": (("read_timeout", 5), ("moderation_blocked", 3)),
    }
    return Glimpse(**{**values, **changes})


OUTCOMES = [
    Group("image_lost", 2, 0, 82_000_000, 0, 0),
    Group("refused", 3, 0, 0, 0, 0),
    Group("succeeded", 410, 410, 17_001_241_000, 0, 1),
    Group("throttled", 31, 0, 0, 0, 0),
    Group("unknown", 2, 0, 0, 80_000_000, 0),
]
MODELS = [Group("gpt-image-1", 440, 404, 17_000_000_000, 80_000_000, 1), Group("dall-e-3", 8, 6, 83_241_000, 0, 0)]
METERS = [
    Group("image_out", 404, 0, 17_000_000_000, 0, 0, 422_000),
    Group("text_in", 404, 0, 83_241_000, 0, 1, 16_648),
]


def report(by: str = "model", groups: list[Group] | None = None) -> CostReport:
    span = Span("b_7Q2M4X9K", "2026-11-01", "2026-12-01")
    stands = standing(unpriced_attempts=1)
    return CostReport(by, span, stands, MODELS if groups is None else groups, OUTCOMES)
