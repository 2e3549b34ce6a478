"""What a run says at its end."""

from typing import Any

import pytest

from jobs.report.next_steps import next_steps
from tests.unit.standings import standing


@pytest.mark.parametrize(
    ("jobs", "changes", "told"),
    [
        ({"succeeded": 9}, {"state": "done"}, []),
        ({"succeeded": 8, "failed": 1}, {"state": "done"}, ["imagemill failures", "imagemill retry b_1 --failed"]),
        ({"succeeded": 8, "refused": 1}, {"state": "done"}, ["0 failed, 1 refused: imagemill failures b_1"]),
        ({"held": 1}, {"state": "done"}, ["1 held, maybe paid already"]),
        ({"queued": 4}, {}, ["4 jobs left; go on: imagemill run b_1"]),
        ({"queued": 4}, {"state": "cancelled"}, ["was cancelled"]),
        (
            {"queued": 4},
            {"state": "paused", "waiting_for": "paused: budget"},
            [
                "the budget of $50.00 does not hold the next call: confirmed $17.083241, reserved $1.00, possible "
                "$0.08; raise it: imagemill resume b_1 --budget USD"
            ],
        ),
        (
            {"queued": 4},
            {"waiting_for": "budget full: overall: confirmed $5.00 of $5.00; imagemill budget set overall USD"},
            ["budget full: overall: confirmed $5.00 of $5.00; imagemill budget set overall USD"],
        ),
        (
            {"queued": 4},
            {"state": "paused", "waiting_for": "paused: operator"},
            ["paused: operator; go on: imagemill resume b_1"],
        ),
        (
            {"queued": 4},
            {"waiting_for": "endpoint paused: billing: no money. Top it up, then resume."},
            ["Top it up, then resume: imagemill resume b_1"],
        ),
    ],
)
def test_an_end_names_the_next_command(jobs: dict[str, int], changes: dict[str, Any], told: list[str]) -> None:
    if changes.get("state") == "cancelled":
        jobs = {"cancelled": 4}
    after = standing(jobs, batch="b_1", **changes)
    lines = list(next_steps(standing(batch="b_1"), after))
    assert len(lines) == len(told)
    for line, part in zip(lines, told, strict=True):
        assert part in line


def test_a_finished_batch_says_that_nothing_was_spent() -> None:
    done = standing({"succeeded": 60}, batch="b_1", state="done")
    assert list(next_steps(done, done)) == ["already done, $0.00 spent: b_1 has 60 jobs; --again makes them anew"]
