"""The cost report: sums, key figures, and that nothing unpriced passes for nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger.figures import Group
from jobs.report.costs import cost_of_failures, report_json, report_remarks, report_sheet, report_table
from jobs.report.table import tab_separated
from tests.unit.golden import golden
from tests.unit.standings import METERS, OUTCOMES, report

amounts = st.integers(0, 10**15)
groups = st.builds(Group, st.text(max_size=8), amounts, amounts, amounts, amounts, st.integers(0, 99))


def test_the_table_ends_in_the_sum_of_its_lines() -> None:
    shown = tab_separated(report_table(report())) + "\n".join(report_remarks(report())) + "\n"
    assert shown == golden("report.txt")


@given(st.lists(groups, max_size=5))
def test_json_groups_add_up_exactly(found: list[Group]) -> None:
    made = report("tag:season", found)
    fields = report_json(made)
    assert sum(group["charged_nanodollars"] for group in fields["groups"]) == made.total.charged_nano
    assert sum(group["attempts"] for group in fields["groups"]) == made.total.attempts


@pytest.mark.parametrize("by", ["model", "outcome", "meter"])
def test_totals_are_those_of_the_span_whatever_the_grouping(by: str) -> None:
    fields = report_json(report(by))
    assert fields["confirmed_nanodollars"] == sum(group.charged_nano for group in OUTCOMES)
    assert fields["attempts"]["succeeded"] == 410
    assert fields["attempts"]["open"] == 24
    assert (fields["from"], fields["to"]) == ("2026-11-01", "2026-12-01")


def test_a_report_by_meter_has_quantities() -> None:
    made = report("meter", METERS)
    assert report_json(made)["groups"][0]["quantity"] == 422_000
    assert report_table(made).totals == ["total", 808, 438_648, "$17.083241 + 1 unpriced"]


def test_a_sheet_has_plain_numbers() -> None:
    sheet = report_sheet(report())
    assert [column.name for column in sheet.columns if not column.number] == ["model"]
    assert sheet.rows[0] == ["gpt-image-1", 440, 404, None, "17.00", 17_000_000_000, "0.08", 80_000_000, 1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "cost of failures: $0.00"),
        ({"image_lost": (2, 82_000_000, 0, 0)}, "cost of failures: $0.082 (paid, no usable image ×2)"),
        ({"unknown": (3, 0, 10**9, 0)}, "cost of failures: $0.00 + $1.00 possible (unknown ×3)"),
        (
            {"image_lost": (1, 0, 4 * 10**7, 1)},
            "cost of failures: $0.00 + 1 unpriced + $0.04 possible (paid, no usable image ×1)",
        ),
    ],
)
def test_the_cost_of_failures_is_what_bought_no_image(changes: dict[str, Any], text: str) -> None:
    found = [Group("succeeded", 9, 9, 10**9, 0, 0), Group("throttled", 2, 0, 0, 0, 0)]
    for key, (attempts, charged, possible, unpriced) in changes.items():
        found.append(Group(key, attempts, 0, charged, possible, unpriced))
    assert cost_of_failures(found) == text


def test_without_images_there_is_no_cost_of_one() -> None:
    empty = report("model", [])
    assert "per delivered image: $0.041666 (410 images)" in report_remarks(empty)
