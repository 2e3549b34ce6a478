"""Used ids: exact over many, through every growth of the table."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.manifest.ids import UsedIds


@given(st.lists(st.text(max_size=3)))
def test_the_first_line_of_every_text_is_remembered(texts: list[str]) -> None:
    used, known = UsedIds(), dict[str, int]()
    for line, text in enumerate(texts, 1):
        assert used.first_line(text, line) == known.get(text)
        known.setdefault(text, line)
    assert len(used) == len(known)


def test_nothing_is_forgotten_when_the_table_grows() -> None:
    used = UsedIds()
    assert all(used.first_line(f"sku-{number}", number) is None for number in range(1, 20_001))
    assert all(used.first_line(f"sku-{number}", 99_999) == number for number in range(1, 20_001))
    assert len(used) == 20_000


def test_ids_that_differ_only_in_case_or_accents_are_different() -> None:
    used = UsedIds()
    assert [used.first_line(text, 1) for text in ("a", "A", "é", "e\u0301")] == [None] * 4
