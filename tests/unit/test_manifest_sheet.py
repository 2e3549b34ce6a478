"""CSV as spreadsheets write it: text stays text, blank rows vanish, damage is named with its place."""

import io
from typing import Any

import pytest

from jobs.errors import ManifestError
from jobs.manifest.options import ManifestOptions
from jobs.manifest.rows import Problem, Row
from jobs.manifest.sheet import read_sheet


def read(text: str, **options: Any) -> list[Row | Problem]:
    return list(read_sheet(io.StringIO(text, newline=""), ManifestOptions(**options)))


def rows(text: str, **options: Any) -> list[Row]:
    return [entry for entry in read(text, **options) if isinstance(entry, Row)]


def problems(text: str, **options: Any) -> list[Problem]:
    return [entry for entry in read(text, **options) if isinstance(entry, Problem)]


def test_a_german_sheet_is_read_as_excel_wrote_it() -> None:
    [row] = rows(
        'Artikelnummer;Titel;Farbe;n\r\n00417;"Stuhl; ""Größe 3""";weiß;2\r\n',
        map={"id": "Artikelnummer"},
        prompt_template="studio photo of {Titel}, {Farbe}",
        defaults={"model": "gpt-image-2"},
    )
    assert row.custom_id == "00417"
    assert row.request == {"model": "gpt-image-2", "n": 2, "prompt": 'studio photo of Stuhl; "Größe 3", weiß'}
    assert (row.row, row.line, row.excel_row) == (1, 2, 2)
    assert row.columns["id"] == "A"
    assert row.columns["n"] == "D"


@pytest.mark.parametrize("text", ["sep=|\nid|prompt\nx|a\n", '"sep=;"\r\nid;prompt\r\nx;a\r\n', "id\tprompt\nx\ta"])
def test_the_delimiter_is_named_or_found(text: str) -> None:
    [row] = rows(text)
    assert (row.custom_id, row.request) == ("x", {"prompt": "a"})


def test_a_sep_line_counts_as_a_line_but_not_as_a_row() -> None:
    [row] = rows("sep=;\nid;prompt\nx;a\n")
    assert (row.line, row.row, row.excel_row) == (3, 1, 2)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("3", 3), (" 3 ", 3), ("-1", -1), ("3.0", "3.0"), ("1,5", "1,5"), ("drei", "drei"), ("٣", "٣")],
)
def test_numbers_are_parsed_in_number_fields_only(cell: str, value: object) -> None:
    [row] = rows(f'prompt;n;size\na;"{cell}";"{cell}"\n')
    assert row.request["n"] == value
    assert row.request["size"] == cell.strip()


@pytest.mark.parametrize(
    ("cell", "value"), [("WAHR", True), ("true", True), ("0", False), ("nein", False), ("?", "?")]
)
def test_truth_is_read_in_two_languages(cell: str, value: object) -> None:
    [row] = rows(f"prompt,stream\na,{cell}\n")
    assert row.request["stream"] is value or row.request["stream"] == value == "?"


def test_an_object_field_holds_json_or_stays_text() -> None:
    found = rows('prompt;svg\na;"{""model"": ""m""}"\nb;{\n')
    assert [row.request["svg"] for row in found] == [{"model": "m"}, "{"]


@pytest.mark.parametrize(
    "cell", ['{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "\\u0000"}', '{"a":' * 30 + "1" + "}" * 30, '{"a": 1e999}']
)
def test_c18_an_object_in_a_cell_is_read_as_strictly_as_a_line(cell: str) -> None:
    [row] = rows('prompt;svg\na;"{}"\n'.format(cell.replace('"', '""')))
    assert row.request["svg"] == cell  # text, which the check refuses by name


def test_empty_cells_are_absent() -> None:
    [row] = rows("id,prompt,n,brand\n,a,,\n", tag_columns=("brand",))
    assert (row.custom_id, row.request, row.tags) == ("row-1", {"prompt": "a"}, {})


def test_short_rows_are_filled_up() -> None:
    [row] = rows("prompt,n,size\na\n")
    assert row.request == {"prompt": "a"}


def test_a_row_with_more_text_than_columns_is_torn() -> None:
    [problem] = problems("prompt,n\na,1,,oops\n")
    assert (problem.code, problem.value) == ("too_many_cells", "oops")
    assert rows("prompt,n\na,1,,\n")


def test_blank_rows_at_the_end_are_ignored_and_named_in_between() -> None:
    assert problems("prompt,n\na,1\n,\n,\n\n") == []
    [problem] = problems("prompt,n\na,1\n,\n\nb,2\n")
    assert (problem.code, problem.severity, problem.line, problem.row) == ("blank_rows", "warning", 3, None)
    assert [row.row for row in rows("prompt,n\na,1\n,\n\nb,2\n")] == [1, 2]
    assert [row.excel_row for row in rows("prompt,n\na,1\n,\n\nb,2\n")] == [2, 5]


def test_damage_is_placed_by_line_row_and_column() -> None:
    [problem] = problems('id;prompt\nx;"a\nb"\n1,23E+12;c\n')
    assert problem.code == "excel_scientific"
    assert (problem.line, problem.row, problem.excel_row, problem.excel_column) == (4, 2, 3, "A")
    assert (problem.field, problem.value) == ("id", "1,23E+12")


def test_damage_in_a_template_column_is_named_by_the_column() -> None:
    [problem] = problems("title,colour\nchair,#N/A\n", prompt_template="{title} in {colour}")
    assert (problem.code, problem.field, problem.excel_column) == ("excel_error", "colour", "B")


def test_warnings_leave_the_row_and_errors_take_it() -> None:
    entries = read("id,prompt\nx,a\u00a0b\ny,#N/A\n")
    assert [type(entry) for entry in entries] == [Problem, Row, Problem]


def test_a_hole_in_the_template_is_an_error() -> None:
    [problem] = problems("title,colour\nchair,\n", prompt_template="{title} in {colour}")
    assert (problem.code, problem.field, problem.excel_column) == ("empty_place", "colour", "B")


def test_a_bad_record_is_a_problem_of_its_own_row() -> None:
    entries = read('prompt\na\n"b" c\nd\n')
    assert [(entry.row, entry.line) for entry in entries] == [(1, 2), (2, 3), (3, 4)]
    assert isinstance(entries[1], Problem)
    assert entries[1].code == "bad_quote"


def test_unused_columns_are_said_once_at_the_header() -> None:
    [problem] = problems("prompt,brand\na,x\nb,y\n")
    assert (problem.code, problem.line, problem.row) == ("ignored_columns", 1, None)


def test_required_tags_are_required() -> None:
    [problem] = problems("prompt,cost_centre\na,\n", tag_columns=("cost_centre",), require_tags=("cost_centre",))
    assert (problem.code, problem.excel_column) == ("missing_tag", "B")


def test_a_mapped_field_nobody_knows_is_sent_as_text() -> None:
    [row] = rows("prompt,s\na,7\n", map={"sparkle": "s"})
    assert row.request == {"prompt": "a", "sparkle": "7"}


def test_a_header_with_a_fault_is_no_manifest() -> None:
    with pytest.raises(ManifestError, match=r"line 1.*quote"):
        read('"prompt\na\n')


@pytest.mark.parametrize("text", ["", "\n\n", ",,\n", "sep=;\n"])
def test_nothing_is_no_manifest(text: str) -> None:
    with pytest.raises(ManifestError, match="empty"):
        read(text)


def test_a_sheet_that_excel_may_have_cut_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.manifest.sheet.ROW_LIMIT", 3)
    assert [problem.code for problem in problems("prompt\na\nb\n")] == ["excel_rows_cut"]
    assert problems("prompt\na\n") == []
