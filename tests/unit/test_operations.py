"""docs/operations.md and the alert rules speak of what there is: every error event, every metric, every alarm."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from prometheus_client import REGISTRY

import worker.metrics  # noqa: F401 - registers what a worker serves
from jobs import events
from jobs.cli.group import COMMANDS

CHECKOUT = Path(__file__).parents[2]
GAUGES = {
    f"imagemill_{name}"
    for name in ("jobs", "oldest_job_age_seconds", "budget_dollars", "unknown_attempts", "unpriced_charges")
}


@pytest.fixture(scope="module")
def manual() -> str:
    return (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((CHECKOUT / "examples" / "prometheus-alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def section(manual: str, title: str) -> str:
    return manual.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def explained(table: str) -> set[str]:
    """The names in the first column."""
    return {name for line in table.splitlines() if line.startswith("| `") for name in _names(line.split("|")[1])}


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def served() -> set[str]:
    """What a worker serves, under the names of its samples."""
    families = [family for family in REGISTRY.collect() if family.name.startswith("imagemill_")]
    endings = {"counter": "_total", "info": "_info"}
    return {family.name + endings.get(family.type, "") for family in families}


def test_every_event_that_needs_a_person_is_explained(manual: str) -> None:
    errors = {event for event, level in events._LEVELS.items() if level == "error"}
    assert explained(section(manual, "Log events of level error")) == errors


def test_every_event_that_is_named_exists(manual: str) -> None:
    named = set(_names(section(manual, "Log events of level error").rpartition("Warnings")[2]))
    assert named and named <= set(events._LEVELS)


def test_every_metric_is_explained_and_no_other(manual: str) -> None:
    assert explained(section(manual, "Metrics")) == served() | GAUGES


def test_every_alarm_is_explained_and_no_other(manual: str, rules: list[dict[str, Any]]) -> None:
    assert explained(section(manual, "Alarms")) == {rule["alert"] for rule in rules}


def test_the_rules_ask_only_for_metrics_that_exist(rules: list[dict[str, Any]]) -> None:
    asked = {name for rule in rules for name in re.findall(r"imagemill_\w+", rule["expr"])}
    assert {name.removesuffix("_bucket") for name in asked} <= served() | GAUGES
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)


def test_every_command_that_is_named_exists(manual: str) -> None:
    known = {name for commands in COMMANDS.values() for name in commands}
    named = set(re.findall(r"`imagemill ([a-z]+)", manual))
    assert len(named) > 5 and named <= known


def test_supervisors_are_told_the_grace_that_compose_gives(manual: str) -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
    grace = int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    for told in (f"stop_grace_period: {grace}s", f"GracePeriodSeconds: {grace}", f"TimeoutStopSec={grace}"):
        assert told in manual
