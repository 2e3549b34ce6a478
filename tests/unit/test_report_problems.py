"""Manifest problems, grouped."""

from typing import Any

from jobs.manifest import Problem
from jobs.report.problems import ProblemDigest


def problem(line: int, message: str = "there is no prompt", severity: Any = "error") -> Problem:
    return Problem(line, line, "prompt", None, "no_prompt", message, "write one", severity, "B")


def test_the_same_problem_on_many_lines_is_one_line() -> None:
    digest = ProblemDigest()
    for line in range(2, 10_002):
        digest.add(problem(line))
    assert digest.table().rows == [
        [10_000, "2, 3, 4, 5, 6…", "prompt (column B)", "error: there is no prompt", "write one"]
    ]


def test_errors_stand_before_warnings_and_the_commonest_first() -> None:
    digest = ProblemDigest()
    for line, message, severity in [(2, "w", "warning"), (3, "w", "warning"), (4, "a", "error"), (5, "b", "error")]:
        digest.add(problem(line, message, severity))
    digest.add(problem(6, "b"))
    assert [row[3] for row in digest.table().rows] == ["error: b", "error: a", "warning: w"]
    assert (digest.errors, digest.warnings) == (3, 2)


def test_ten_thousand_different_problems_are_counted_and_twenty_shown() -> None:
    digest = ProblemDigest()
    for line in range(10_000):
        digest.add(problem(line, f"message {line}"))
    assert len(digest.table().rows) == 20
    assert digest.errors == 10_000
