"""Headers: delimiters, which column is which, and what is said about the rest."""

import pytest

from jobs.errors import ManifestError
from jobs.manifest.header import Plan, column_letter, read_header, sep_line, sniff_delimiter
from jobs.manifest.options import ManifestOptions


def plan(*cells: str, **options: object) -> Plan:
    return read_header(cells, ManifestOptions(**options))  # type: ignore[arg-type]


def codes(*cells: str, **options: object) -> list[str]:
    return [complaint.code for complaint in plan(*cells, **options).complaints]


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [("a,b,c", ","), ("a;b;c", ";"), ("a\tb", "\t"), ("a|b", "|"), ('"a,b,c";d', ";"), ("prompt", ","), ("", ",")],
)
def test_the_delimiter_is_what_stands_most_often_outside_of_quotes(line: str, delimiter: str) -> None:
    assert sniff_delimiter(line) == delimiter


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [("sep=;\r\n", ";"), ('"sep=,"\n', ","), ("SEP=\t\n", "\t"), ("separate", None), ("sep=", None)],
)
def test_a_sep_line_names_the_delimiter(line: str, delimiter: str | None) -> None:
    assert sep_line(line) == delimiter


@pytest.mark.parametrize(("index", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")])
def test_columns_are_lettered_as_excel_does(index: int, letters: str) -> None:
    assert column_letter(index) == letters


def test_columns_named_like_fields_are_fields() -> None:
    found = plan("ID", "Prompt", "n", "stream", "size")
    assert found.id == 0
    assert found.prompt == 1
    assert found.fields == (("n", 2, "integer"), ("stream", 3, "boolean"), ("size", 4, "string"))
    assert found.complaints == ()


def test_a_mapped_column_wins_over_one_of_the_same_name() -> None:
    found = plan("id", "SKU", "prompt", "Text", map={"id": "SKU", "prompt": "Text"})
    assert (found.id, found.prompt) == (1, 3)
    assert [complaint.code for complaint in found.complaints] == ["ignored_columns"]


def test_blanks_and_invisible_characters_around_a_header_do_not_matter() -> None:
    assert plan("\ufeff id\u00a0", "pro\u200bmpt ").prompt == 1


def test_without_a_prompt_the_columns_are_listed() -> None:
    with pytest.raises(ManifestError, match=r"--map prompt=COLUMN; columns are: SKU, Text"):
        plan("SKU", "Text")


def test_a_missing_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(ManifestError, match=r"--map prompt.*nearest is 'Beschreibung'"):
        plan("SKU", "Beschreibung", map={"prompt": "Beschreibun"})
    with pytest.raises(ManifestError, match=r"--tag-columns.*'brnad'"):
        plan("prompt", "brand", tag_columns=("brnad",))
    with pytest.raises(ManifestError, match=r"prompt template.*'titel'"):
        plan("title", prompt_template="{titel}")


def test_columns_that_are_not_used_are_named_once_with_the_field_they_resemble() -> None:
    [complaint] = plan("prompt", "qualty", "brand").complaints
    assert complaint.code == "ignored_columns"
    assert complaint.severity == "warning"
    assert "qualty, brand" in complaint.message
    assert "'qualty' is like 'quality'" in complaint.message


def test_template_and_tag_columns_count_as_used() -> None:
    assert codes("title", "brand", prompt_template="{title}", tag_columns=("brand",)) == []


def test_all_columns_that_are_no_field_can_become_tags() -> None:
    found = plan("prompt", "n", "brand", "season", tags_from_rest=True)
    assert found.tags == (("brand", 2), ("season", 3))
    assert found.complaints == ()


def test_a_header_that_stands_twice_is_an_error_with_both_letters() -> None:
    [complaint] = [found for found in plan("prompt", "id", "prompt").complaints if found.severity == "error"]
    assert complaint.code == "duplicate_header"
    assert "A and C" in complaint.message


def test_a_column_without_a_header_is_a_warning() -> None:
    assert codes("prompt", "", " ") == ["empty_header"]


def test_a_header_of_half_a_million_columns_is_read_in_one_pass() -> None:
    assert plan("prompt", *map(str, range(500_000))).width == 500_001
