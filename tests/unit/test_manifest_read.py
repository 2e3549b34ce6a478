"""Recognising formats by content, ids that are unique, and no surprise whatever the bytes."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ManifestError
from jobs.manifest.options import ManifestOptions
from jobs.manifest.read import read_stream
from jobs.manifest.rows import Problem, Row

UMLAUTS = "id;prompt\n1;Stuhl, weiß, Größe 3 – „gut“\n"


def read(content: bytes, **options: Any) -> list[Row | Problem]:
    return list(read_stream(io.BytesIO(content), ManifestOptions(**options)))


def prompts(content: bytes, **options: Any) -> list[str]:
    return [entry.request["prompt"] for entry in read(content, **options) if isinstance(entry, Row)]


@pytest.mark.parametrize(
    "content", [b'{"prompt": "a"}', b'\n \n{"prompt": "a"}', b"prompt\na", b'\xef\xbb\xbf{"prompt":"a"}']
)
def test_the_content_tells_the_format(content: bytes) -> None:
    assert prompts(content) == ["a"]


def test_json_lines_with_a_bad_first_line_are_still_json_lines() -> None:
    entries = read(b'oops\n{"prompt": "a"}\n')
    assert [type(entry) for entry in entries] == [Problem, Row]


def test_a_template_in_a_sheet_does_not_look_like_json() -> None:
    assert prompts(b"prompt;n\n{subject} in a field;1\n") == ["{subject} in a field"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_sheet_is_read_in_utf_8_or_by_its_mark(encoding: str) -> None:
    assert prompts(UMLAUTS.encode(encoding)) == ["Stuhl, weiß, Größe 3 – „gut“"]


def test_the_mark_wins_over_a_stated_encoding() -> None:
    assert prompts(UMLAUTS.encode("utf-8-sig"), encoding="cp1252") == ["Stuhl, weiß, Größe 3 – „gut“"]


def test_cp1252_is_never_guessed_but_taken_when_stated() -> None:
    content = UMLAUTS.encode("cp1252")
    with pytest.raises(ManifestError, match="looks like cp1252, run again with --encoding cp1252"):
        read(content)
    assert prompts(content, encoding="cp1252") == ["Stuhl, weiß, Größe 3 – „gut“"]


def test_a_wrong_encoding_far_down_the_file_is_found() -> None:
    content = b"prompt\n" + b"a plain row\n" * 50_000 + b"wei\xdf\n"
    with pytest.raises(ManifestError, match="cp1252"):
        read(content)


@pytest.mark.parametrize("encoding", ["klingon", "base64", "hex", "unicode_escape", "punycode"])
def test_an_encoding_that_is_none_is_refused(encoding: str) -> None:
    with pytest.raises(ManifestError, match=encoding):
        read(b"prompt\na\n", encoding=encoding)


def test_bytes_that_a_stated_encoding_does_not_have_are_refused() -> None:
    with pytest.raises(ManifestError, match="cannot be read as cp1252"):
        read(b"prompt\na\x81b\n", encoding="cp1252")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n\n", "empty"),
        (b"PK\x03\x04rest", "Save As, CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0rest", "Save As, CSV UTF-8"),
        (b"PAR1rest", "Parquet"),
        (b"\x1f\x8brest", "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b'[{"prompt": "a"}]', "one object per line"),
        (b" [\n  {", "one object per line"),
        ('{"prompt": "a"}'.encode("utf-16"), "must be UTF-8"),
        ("prompt\na".encode("utf-16-le"), "not text"),
        (b"\x00\x01\x02", "not text"),
        (b"SKU,title\n1,chair", "--map prompt=COLUMN"),
    ],
)
def test_what_is_no_manifest_says_what_it_is(content: bytes, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        read(content)


def test_a_repeated_id_is_an_error_that_names_the_first_line() -> None:
    lines = [{"id": "x", "prompt": "a"}, {"prompt": "b"}, {"id": "x", "prompt": "c"}]
    entries = read("\n".join(map(json.dumps, lines)).encode())
    assert [type(entry) for entry in entries] == [Row, Row, Problem]
    problem = entries[2]
    assert isinstance(problem, Problem)
    assert (problem.code, problem.line, problem.value) == ("duplicate_id", 3, "x")
    assert "line 1" in problem.message


def test_a_given_name_may_not_take_that_of_a_nameless_row() -> None:
    entries = read(b'{"prompt": "a"}\n{"id": "row-1", "prompt": "b"}\n')
    assert [type(entry) for entry in entries] == [Row, Problem]


def test_a_repeated_id_in_a_sheet_has_its_column() -> None:
    problem = read(b"id,prompt\nx,a\nx,b\n")[1]
    assert isinstance(problem, Problem)
    assert (problem.excel_row, problem.excel_column) == (3, "A")


def test_a_limit_counts_data_rows_and_reads_no_further() -> None:
    content = b'{"prompt": "a"}\n{bad\n' + b'{"prompt": "b"}\n' * 5
    assert [entry.row for entry in read(content, limit=3)] == [1, 2, 3]
    assert read(content, limit=0) == []


def test_a_template_that_cannot_be_is_refused() -> None:
    for content in (b'{"prompt": "a"}', b"prompt\na\n"):
        with pytest.raises(Exception, match="prompt template") as caught:
            read(content, prompt_template="{")
        assert caught.value.exit_code == 2  # type: ignore[attr-defined]


PIECES = [
    *(b'{"prompt": "a"}', b'{"body": {}}', b"prompt", b"id;prompt", b"sep=;\n", b"[", b"{", b"}", b"x"),
    *(b'"', b",", b";", b"\n", b"\r", b"\0", b"#N/A", b"PK\x03\x04", b"\xc3\xbc"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
]
HOSTILE = st.binary(max_size=400) | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


@given(HOSTILE, st.sampled_from([None, "cp1252", "utf-16", "utf-7", "unicode_escape", "idna", "nonsense"]))
def test_no_bytes_raise_anything_but_a_manifest_error(content: bytes, encoding: str | None) -> None:
    try:
        entries = read(content, encoding=encoding)
    except ManifestError:
        return
    lines = [entry.line for entry in entries if entry.row is not None]
    assert lines == sorted(lines)
    for entry in entries:
        if isinstance(entry, Row):
            entry.custom_id.encode()
            json.dumps(entry.request, ensure_ascii=False).encode()
