"""Every scenario is tried by a test that carries its number, and docs/reliability.md names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
NOT_BUILT = {"s32", "c5", "c15", "c16"}
"""Notices to a web address, and the HTTP API: there is nothing to try yet."""
SCENARIOS = {f"s{number}" for number in range(1, 33)} - NOT_BUILT
THREATS = {f"c{number}" for number in range(1, 24)} - NOT_BUILT


@cache
def all_tests() -> frozenset[str]:
    """Names of all test functions, the slow ones too."""
    return frozenset(
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("number", sorted(SCENARIOS | THREATS, key=lambda one: (one[0], int(one[1:]))))
def test_every_scenario_and_every_threat_has_a_test_with_its_number(number: str) -> None:
    assert [name for name in all_tests() if name.startswith(f"test_{number}_")]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_a_test_that_the_documentation_names_exists(page: Path) -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", page.read_text()))
    files = {path.stem for path in TESTS.rglob("test_*.py")}
    assert named - all_tests() - files == set()


@pytest.mark.parametrize("number", sorted(SCENARIOS, key=lambda one: int(one[1:])))
def test_the_documentation_names_the_tests_of_a_scenario(number: str) -> None:
    (row,) = re.findall(rf"^\| S{number[1:]} \|.*$", (DOCS / "reliability.md").read_text(), re.MULTILINE)
    assert re.findall(rf"`test_{number}_[a-z0-9_]+`", row)
