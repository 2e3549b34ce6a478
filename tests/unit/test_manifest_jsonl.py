"""JSON lines: both dialects, bad lines that stop nothing, and what becomes of each field."""

import io
import json
from typing import Any

import pytest

from jobs.manifest.jsonl import MAX_LINE_BYTES, read_jsonl
from jobs.manifest.options import ManifestOptions
from jobs.manifest.rows import Problem, Row


def read(*lines: Any, **options: Any) -> list[Row | Problem]:
    """Entries of a file with these lines; what is not bytes is written as JSON."""
    content = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return list(read_jsonl(io.BytesIO(content), ManifestOptions(**options)))


def only_row(*lines: Any, **options: Any) -> Row:
    entries = read(*lines, **options)
    assert len(entries) == 1, entries
    entry = entries[0]
    assert isinstance(entry, Row), entry
    return entry


def codes(*lines: Any, **options: Any) -> list[str]:
    return [entry.code for entry in read(*lines, **options) if isinstance(entry, Problem)]


def batch_line(**changes: Any) -> dict[str, Any]:
    line = {
        "custom_id": "sku-1",
        "method": "POST",
        "url": "/v1/images/generations",
        "body": {"model": "gpt-image-2", "prompt": "a chair"},
    }
    return line | changes


def test_a_plain_line_becomes_a_row() -> None:
    row = only_row({"id": "a-1", "prompt": "a chair", "model": "gpt-image-2", "n": 2, "tags": {"brand": "acme"}})
    assert row == Row(1, 1, "a-1", {"prompt": "a chair", "model": "gpt-image-2", "n": 2}, {"brand": "acme"})


def test_a_batch_line_becomes_a_row() -> None:
    assert only_row(batch_line()) == Row(1, 1, "sku-1", {"model": "gpt-image-2", "prompt": "a chair"})


def test_rows_are_counted_apart_from_lines_and_bad_rows_count() -> None:
    entries = read(b"", {"prompt": "one"}, b"  ", b"{broken", {"prompt": "two"}, b"")
    assert [(entry.row, entry.line) for entry in entries] == [(1, 2), (2, 4), (3, 5)]
    assert isinstance(entries[1], Problem)
    assert isinstance(entries[2], Row)
    assert entries[2].custom_id == "row-3"


def test_c18_only_the_byte_lf_ends_a_line() -> None:
    prompt = "one\u2028two\u0085three\u2029four\x0bfive\x0csix"
    line = json.dumps({"prompt": prompt}, ensure_ascii=False).encode()
    assert "\u2028".encode() in line
    assert only_row(line).request["prompt"] == prompt


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    entries = read(b'\xef\xbb\xbf{"prompt": "a"}\r', b'{"prompt": "b"}\r')
    assert [entry.request["prompt"] for entry in entries if isinstance(entry, Row)] == ["a", "b"]


def test_a_byte_order_mark_further_down_is_not() -> None:
    assert codes({"prompt": "a"}, b'\xef\xbb\xbf{"prompt": "b"}') == ["bad_json"]


def test_c17_a_line_over_the_limit_is_skipped_and_reading_goes_on() -> None:
    long = b'{"prompt": "' + b"x" * (2 * MAX_LINE_BYTES) + b'"}'
    entries = read({"prompt": "a"}, long, {"prompt": "b"})
    assert [type(entry) for entry in entries] == [Row, Problem, Row]
    assert codes(long) == ["line_too_long"]
    assert [(entry.row, entry.line) for entry in entries] == [(1, 1), (2, 2), (3, 3)]


def test_a_line_of_exactly_the_limit_is_read() -> None:
    frame = len(b'{"prompt": ""}')
    line = b'{"prompt": "' + b"x" * (MAX_LINE_BYTES - frame) + b'"}'
    assert len(line) == MAX_LINE_BYTES
    assert isinstance(read(line, {"prompt": "b"})[0], Row)


def test_an_explicit_null_is_as_good_as_absent() -> None:
    row = only_row({"id": None, "prompt": "a", "size": None, "tags": None}, defaults={"size": "1024x1024"})
    assert row.request == {"prompt": "a", "size": "1024x1024"}
    assert row.custom_id == "row-1"
    assert only_row(batch_line(body={"prompt": "a", "n": None})).request == {"prompt": "a"}


def test_defaults_fill_in_and_never_override() -> None:
    row = only_row({"prompt": "a", "n": 3}, defaults={"n": 1, "model": "gpt-image-2"})
    assert row.request == {"prompt": "a", "n": 3, "model": "gpt-image-2"}


@pytest.mark.parametrize(("value", "custom_id"), [("x", "x"), (17, "17"), (" x ", "x"), ("  ", "row-1")])
def test_an_id_is_text_or_a_whole_number(value: object, custom_id: str) -> None:
    assert only_row({"prompt": "a", "custom_id": value}).custom_id == custom_id


@pytest.mark.parametrize("value", [True, 1.5, [], {}])
def test_another_kind_of_id_is_an_error(value: object) -> None:
    assert codes({"prompt": "a", "id": value}) == ["bad_id"]


def test_an_id_of_any_reasonable_length_is_taken() -> None:
    assert only_row({"prompt": "a", "id": "../" * 300}).custom_id == "../" * 300
    assert codes({"prompt": "a", "id": "x" * 1025}) == ["long_id"]
    assert codes({"prompt": "a", "id": "\U0001f600" * 257}) == ["long_id"]  # no index of PostgreSQL would take it


def test_two_ids_must_agree() -> None:
    assert only_row({"prompt": "a", "id": "x", "custom_id": "x"}).custom_id == "x"
    assert codes({"prompt": "a", "id": "x", "custom_id": "y"}) == ["two_ids"]


@pytest.mark.parametrize("line", [b"[]", b"3", b"null", b'"text"'])
def test_a_line_that_is_no_object_is_an_error(line: bytes) -> None:
    assert codes(line) == ["not_object"]


def test_unknown_fields_stay_in_the_request() -> None:
    assert only_row({"prompt": "a", "sparkle": 5}).request == {"prompt": "a", "sparkle": 5}


@pytest.mark.parametrize("tags", ["text", [], {"season": 2026}, {"on": True}, {"deep": {}}])
def test_tags_are_text_by_text(tags: object) -> None:
    assert codes({"prompt": "a", "tags": tags}) == ["bad_tag"]


def test_a_tag_that_is_null_is_no_tag() -> None:
    assert only_row({"prompt": "a", "tags": {"brand": None, "season": "x"}}).tags == {"season": "x"}


def test_the_dialects_do_not_mix() -> None:
    assert codes({"prompt": "a"}, batch_line()) == ["mixed_dialects"]
    assert codes(batch_line(), {"prompt": "a"}) == ["mixed_dialects"]


def test_a_broken_first_line_decides_no_dialect() -> None:
    assert codes(b"{broken", batch_line()) == ["bad_json"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "GET"}, "bad_method"),
        ({"method": None}, "bad_method"),
        ({"url": "/v1/images/edits"}, "bad_url"),
        ({"body": "text"}, "bad_body"),
        ({"body": None}, "bad_body"),
        ({"custom_id": []}, "bad_id"),
    ],
)
def test_a_batch_line_must_have_its_form(change: dict[str, Any], code: str) -> None:
    assert codes(batch_line(**change)) == [code]


def test_an_unknown_key_beside_the_body_is_a_warning_and_dropped() -> None:
    [problem, row] = read(batch_line(note="hello", tags={"a": "b"}))
    assert isinstance(problem, Problem)
    assert (problem.code, problem.severity, problem.field) == ("unknown_key", "warning", "note")
    assert isinstance(row, Row)
    assert row.request == {"model": "gpt-image-2", "prompt": "a chair"}
    assert row.tags == {"a": "b"}


def test_keys_can_be_mapped() -> None:
    row = only_row({"caption": "a chair", "sku": 5}, map={"prompt": "caption", "id": "sku"})
    assert row.custom_id == "5"
    assert row.request == {"prompt": "a chair"}


def test_a_template_is_filled_and_its_columns_leave_the_request() -> None:
    row = only_row(
        {"title": "chair", "legs": 4, "n": 2}, prompt_template="photo of {title} on {legs} legs, {n} views"
    )
    assert row.request == {"n": 2, "prompt": "photo of chair on 4 legs, 2 views"}


@pytest.mark.parametrize("record", [{"title": ""}, {"title": "  "}, {"other": "x"}, {"title": ["x"]}])
def test_a_hole_in_the_template_is_an_error(record: dict[str, Any]) -> None:
    assert codes(record, prompt_template="photo of {title}") == ["empty_place"]


def test_columns_become_tags_when_asked() -> None:
    record = {"prompt": "a", "brand": "acme", "season": 26, "model": "gpt-image-2"}
    named = only_row(record, tag_columns=("brand", "model"))
    assert named.tags == {"brand": "acme", "model": "gpt-image-2"}
    assert named.request == {"prompt": "a", "season": 26, "model": "gpt-image-2"}
    rest = only_row(record, tags_from_rest=True)
    assert rest.tags == {"brand": "acme", "season": "26"}
    assert rest.request == {"prompt": "a", "model": "gpt-image-2"}


def test_a_column_that_cannot_be_a_tag_is_an_error() -> None:
    assert codes({"prompt": "a", "brand": ["x"]}, tag_columns=("brand",)) == ["bad_tag"]


def test_required_tags_are_required() -> None:
    assert codes({"prompt": "a", "tags": {"cost_centre": ""}}, require_tags=("cost_centre",)) == ["missing_tag"]
    assert codes({"prompt": "a", "tags": {"cost_centre": "7"}}, require_tags=("cost_centre",)) == []
