"""What Excel does to cells, by name."""

import pytest

from jobs.manifest.excel import CELL_LIMIT_CHARS, damage


def codes(cell: str, *, code: bool = True) -> list[str]:
    return [complaint.code for complaint in damage(cell, "id", code=code)]


@pytest.mark.parametrize("cell", ["1,23E+12", "1.23E+12", "4E+15", "-1.5e+10", "1,23456E+100"])
def test_long_numbers_that_were_shortened_are_errors_in_codes(cell: str) -> None:
    assert codes(cell) == ["excel_scientific"]
    assert codes(cell, code=False) == []


@pytest.mark.parametrize(
    "cell", ["05.Mrz", "5-Mar", "Mrz 05", "Mar-05", "01. Okt", "Dez 2026", "12/Sep", "MAR.1999"]
)
def test_codes_that_became_dates_are_doubted(cell: str) -> None:
    assert codes(cell) == ["excel_date"]
    assert codes(cell, code=False) == []


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "#DIV/0!", "#name?", "#NV", "#BEZUG!", "#WERT!", " #N/A "])
def test_error_values_are_errors_everywhere(cell: str) -> None:
    assert codes(cell) == ["excel_error"]
    assert codes(cell, code=False) == ["excel_error"]


def test_hashes_are_a_narrow_column() -> None:
    assert codes("########", code=False) == ["excel_hashes"]
    assert codes("##", code=False) == []


def test_a_full_cell_was_cut_off() -> None:
    assert codes("x" * CELL_LIMIT_CHARS, code=False) == ["excel_cell_cut"]
    assert codes("x" * (CELL_LIMIT_CHARS - 1), code=False) == []


def test_invisible_characters_are_named_and_shown() -> None:
    [complaint] = damage("SKU\u200b17", "id", code=True)
    assert complaint.code == "invisible"
    assert complaint.severity == "warning"
    assert complaint.value == "SKU\\u200b17"
    assert codes("a\u00a0b", code=False) == ["no_break_space"]


def test_curly_quotes_are_doubted_in_codes_only() -> None:
    assert codes("5“ tile") == ["smart_quotes"]
    assert codes("a “red” chair", code=False) == []


def test_what_cannot_be_stored_is_an_error() -> None:
    assert codes("a\0b", code=False) == ["nul"]
    assert codes("a\ud800b", code=False) == ["lone_surrogate"]


@pytest.mark.parametrize(
    "cell",
    ["00417", "A-417", "sku-0001", "gpt-image-2", "1024x1024", "Größe 3", "1E5", "mar", "#1 seller", "红苹果", ""],
)
def test_honest_cells_pass(cell: str) -> None:
    assert codes(cell) == []
    assert codes(cell, code=False) == []


def test_emoji_joined_by_invisible_characters_pass() -> None:
    assert codes("family 👨‍👩‍👧 portrait", code=False) == []
