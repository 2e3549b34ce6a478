"""Tables on their three ways out."""

import csv
import io

import pytest

from jobs.report.ruled import ruled
from jobs.report.table import Column, Look, Table, comma_separated, tab_separated
from jobs.report.words import escaped

TABLE = Table(
    (Column("custom_id"), Column("charged", number=True)),
    [["SKU-1", "$1.50"], ["a\tb\x1b[1m", None]],
    ["total", "$1.50"],
    styles={"SKU-1": "green"},
)
LONG = "x" * 300


def test_a_pipe_gets_names_rows_and_totals_with_tabs_between() -> None:
    assert tab_separated(TABLE) == "custom_id\tcharged\nSKU-1\t$1.50\na\\tb\\x1b[1m\t\ntotal\t$1.50\n"


def test_a_pipe_gets_cells_of_any_length_whole() -> None:
    assert LONG in tab_separated(Table((Column("id"),), [[LONG]]))


def test_a_terminal_gets_cells_of_any_length_folded_not_cut() -> None:
    shown = ruled(Table((Column("id"),), [[LONG]]), Look(True, 60, color=False))
    assert shown.count("x") == len(LONG)


def test_a_terminal_gets_colour_unless_it_is_not_wanted() -> None:
    assert "\x1b[32m" in ruled(TABLE, Look(True, 60))
    assert "\x1b[32m" not in ruled(TABLE, Look(True, 60, color=False))


def test_a_terminal_shows_hostile_text_and_markup_as_they_are_written() -> None:
    shown = ruled(Table((Column("id"),), [["[red]x[/red] \x1b[31m"]]), Look(True, 80, color=False))
    assert "[red]x[/red] \\x1b[31m" in shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "  =x", "\tx", "＝x"])
def test_c10_csv_makes_no_formula_of_a_text(text: str) -> None:
    table = Table((Column("id"), Column("cost", number=True)), [[text, "-0.5"]])
    rows = list(csv.reader(io.StringIO(comma_separated(table, plain=True))))
    assert rows[1] == [f"'{escaped(text)}", "-0.5"]


def test_csv_is_for_excel_unless_it_is_to_be_plain() -> None:
    assert comma_separated(TABLE).startswith("\ufeffcustom_id,charged\r\n")
    assert comma_separated(TABLE, plain=True).startswith("custom_id,charged\r\n")
