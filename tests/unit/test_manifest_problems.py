"""problems.csv: readable in Excel, harmless in Excel, whole."""

import csv
import io
from typing import Any

import pytest

from jobs.cells import safe_cell
from jobs.manifest.problems import COLUMNS, problem_writer
from jobs.manifest.rows import Problem


def problem(**changes: Any) -> Problem:
    values: dict[str, Any] = {
        "line": 3,
        "row": 2,
        "field": "n",
        "value": "0",
        "code": "out_of_range",
        "message": "m",
        "next": "x",
    }
    return Problem(**(values | changes))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM", "\tx", "\rx", "  =1", "\n=1", "＝1", " ＠x", "\u00a0=1"]
)
def test_what_excel_would_run_gets_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a", "a=1", "1-2", "'", " ", "5"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text


def test_a_problem_is_a_line_with_every_column() -> None:
    file = io.StringIO(newline="")
    write = problem_writer(file)
    write(problem(excel_row=7, excel_column="C", value="=cmd|' /C calc'!A0"))
    write(problem(field=None, value=None, row=None, severity="warning", message='say "hi",\nplease'))
    first, second = csv.DictReader(io.StringIO(file.getvalue(), newline=""), strict=True)
    assert tuple(first) == COLUMNS
    assert first["value"] == "'=cmd|' /C calc'!A0"
    assert (first["line"], first["excel_row"], first["excel_column"], first["severity"]) == ("3", "7", "C", "error")
    assert second["message"] == 'say "hi",\nplease'
    assert (second["row"], second["field"]) == ("", "")
