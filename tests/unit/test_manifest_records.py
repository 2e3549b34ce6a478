"""CSV records: line numbers, quotes that do not close, and going on after them."""

import io

from hypothesis import given
from hypothesis import strategies as st

from jobs.manifest.records import MAX_BREAKS, MAX_LINE_CHARS, Lines, records


def read(text: str, delimiter: str = ",") -> list[tuple[int, list[str] | str]]:
    """(line, cells), or (line, code) where something is wrong."""
    found = records(Lines(io.StringIO(text, newline="")), delimiter)
    return [(record.line, record.complaint.code if record.complaint else record.cells) for record in found]


def test_cells_keep_line_breaks_and_lines_are_counted_physically() -> None:
    assert read('a,"one\ntwo"\nb,c\n') == [(1, ["a", "one\ntwo"]), (3, ["b", "c"])]


def test_every_line_end_ends_a_record_but_unicode_ones_do_not() -> None:
    assert read("a\r\nb\rc\nd\u2028e\x85f") == [(1, ["a"]), (2, ["b"]), (3, ["c"]), (4, ["d\u2028e\x85f"])]


def test_an_unclosed_quote_is_reported_where_it_opens_and_the_next_rows_are_read() -> None:
    rows = "".join(f"row {number},x\n" for number in range(MAX_BREAKS + 30))
    found = read(f'a,b\n1,"open\n{rows}')
    assert found[:3] == [(1, ["a", "b"]), (2, "unclosed_quote"), (3, ["row 0", "x"])]
    assert len(found) == 2 + MAX_BREAKS + 30


def test_an_unclosed_quote_near_the_end_is_found_too() -> None:
    assert read('a\n"open\nb\nc') == [(1, ["a"]), (2, "unclosed_quote"), (3, ["b"]), (4, ["c"])]


def test_as_many_line_breaks_as_allowed_are_no_fault() -> None:
    cell = "\n".join(["x"] * (MAX_BREAKS + 1))
    assert read(f'"{cell}"\nb\n') == [(1, [cell]), (MAX_BREAKS + 2, ["b"])]
    assert read(f'"{cell}\nx"\nb\n')[0] == (1, "unclosed_quote")


def test_text_after_a_closing_quote_spoils_its_own_record_only() -> None:
    assert read('a\n"b" c,d\ne\n') == [(1, ["a"]), (2, "bad_quote"), (3, ["e"])]
    assert read('a\n"b\nb"c\ne\n') == [(1, ["a"]), (2, "bad_quote"), (4, ["e"])]


def test_a_cell_over_the_limit_is_reported() -> None:
    assert read("a\n" + "x" * 140_000 + "\nb\n") == [(1, ["a"]), (2, "cell_too_long"), (3, ["b"])]


def test_a_line_over_the_limit_is_skipped() -> None:
    assert read("a\n" + "x," * MAX_LINE_CHARS + "\nb\n") == [(1, ["a"]), (2, "line_too_long"), (3, ["b"])]


@given(st.text(alphabet='a",\n\r\0 ', max_size=300))
def test_any_text_comes_to_an_end_and_lines_only_rise(text: str) -> None:
    lines = [line for line, _ in read(text)]
    assert lines == sorted(set(lines))


@given(st.lists(st.lists(st.text(alphabet='a", \n', min_size=1), min_size=2, max_size=3), max_size=5))
def test_what_is_quoted_rightly_is_read_back(rows: list[list[str]]) -> None:
    text = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows)
    assert [cells for _, cells in read(text)] == rows
