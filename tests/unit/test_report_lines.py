"""JSON lines by the page: the same as one by one, whatever is in them."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from jobs.report.lines import in_pages, json_lines
from tests.unit.test_report_words import HOSTILE

VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())
ROWS = st.lists(st.dictionaries(st.text(), VALUES), max_size=8)


def written(rows: list[dict[str, Any]]) -> str:
    return b"".join(json_lines(rows)).decode()


@given(ROWS)
def test_every_row_is_a_line_that_reads_back_the_same(rows: list[dict[str, Any]]) -> None:
    lines = written(rows).splitlines(keepends=True)
    assert [json.loads(line) for line in lines] == rows
    assert all(line.endswith("\n") for line in lines)


@given(st.text(st.characters(codec=None)))
def test_no_line_shows_a_hostile_character_raw(text: str) -> None:
    rows = [{"prompt": text + HOSTILE}, {"prompt": "a fox"}, {"prompt": "\x7f"}]
    lines = written(rows)
    assert [json.loads(line) for line in lines.split("\n")[:-1]] == rows
    assert not any(one in HOSTILE for one in lines)


def test_a_folder_whose_name_is_no_text_is_shown_as_escapes_beside_rows_that_are() -> None:
    rows = [{"path": "/data/\udcff/1.png"}, {"path": "/data/猫/2.png"}]
    assert written(rows) == '{"path":"/data/\\udcff/1.png"}\n{"path":"/data/猫/2.png"}\n'


def test_a_record_is_a_line_like_a_dictionary_of_the_same_fields() -> None:
    record = msgspec.defstruct("Record", ["row", "path"])
    for path in ("/data/1.png", "/data/\u202e.png", "/data/\udcff.png"):
        assert b"".join(json_lines([record(1, path)])) == b"".join(json_lines([{"row": 1, "path": path}]))


def test_numbers_of_any_size_stay_exact() -> None:
    assert written([{"charged_nanodollars": 2**63 - 1, "row": 10**30}]) == (
        '{"charged_nanodollars":9223372036854775807,"row":1000000000000000000000000000000}\n'
    )


def test_rows_are_taken_as_the_pages_are_asked_for() -> None:
    taken = []
    pages = in_pages(taken.append(number) or number for number in range(10_000))
    first = next(pages)
    assert first == taken
    assert len(first) < 1_000
    assert [*first, *(number for page in pages for number in page)] == list(range(10_000))
