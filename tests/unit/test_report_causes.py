"""Causes and their advice."""

import re

import pytest

from jobs.report.causes import Cause, advice, cause_json, causes_table
from jobs.report.table import tab_separated
from tests.unit.golden import golden
from tests.unit.test_cli_commands import NAMES

CAUSES = [
    Cause(
        "failed", "server_error", 5, 0, "SKU-1", "The server had an error", advice("b_1", "failed", "server_error")
    ),
    Cause("held", "read_timeout", 2, 80_000_000, "SKU-7", "no answer", advice("b_1", "held", "read_timeout")),
    Cause("refused", "moderation_blocked", 1, 0, "S\x1b", "no\n", advice("b_1", "refused", "moderation_blocked")),
]


def test_failures_are_a_table_of_counts_examples_and_next_steps() -> None:
    assert tab_separated(causes_table(CAUSES)) == golden("failures.txt")


@pytest.mark.parametrize("state", ["failed", "refused", "held"])
@pytest.mark.parametrize("kind", [None, "never_heard_of", "server_error", "invalid_api_key", "worker_lost"])
def test_every_cause_has_advice_that_names_real_commands(state: str, kind: str | None) -> None:
    told = advice("b_7Q2M", state, kind)
    assert told
    for command in re.findall(r"imagemill (\w+)", told):
        assert command in NAMES


def test_a_held_job_is_never_sent_again_without_the_word_held() -> None:
    assert "--held" in advice("b_1", "held", "read_timeout")
    assert "--held" in advice("b_1", "held", None)


def test_json_has_the_same_figures() -> None:
    fields = cause_json(CAUSES[1])
    assert (fields["jobs"], fields["possible_nanodollars"]) == (2, 80_000_000)
    assert fields["example"] == {"custom_id": "SKU-7", "message": "no answer"}
