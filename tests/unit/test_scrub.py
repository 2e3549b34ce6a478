"""Foreign text is kept without secrets, without control characters, and short."""

import unicodedata

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from worker.scrub import MAX_CHARS, MAX_FACTS_BYTES, bounded, scrub, storable

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_the_api_key_is_taken_out() -> None:
    assert scrub("no such key: canary-77, sorry", "canary-77") == "no such key: [secret], sorry"


def test_a_placeholder_for_a_key_tears_no_words() -> None:
    assert scrub("no data in the image", "data") == "no data in the image"


def test_what_looks_like_a_key_is_taken_out_too() -> None:
    text = scrub("Incorrect API key provided: sk-proj-ab12*****9xyz. Header was Bearer abcdef.123-456")
    assert "ab12" not in text
    assert "abcdef" not in text


def test_ordinary_words_stay() -> None:
    assert scrub("The task-force bearer token is missing") == "The task-force bearer token is missing"


def test_control_and_direction_characters_are_shown_escaped() -> None:
    assert scrub("a\x1b[31mred\u202egnp.exe\0") == "a\\x1b[31mred\\u202egnp.exe\\x00"


def test_line_ends_become_blanks() -> None:
    assert scrub("one\r\ntwo\tthree") == "one two three"


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert len(scrub("x" * 9000)) == MAX_CHARS
    assert scrub("x" * 9000).endswith("…")


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_whatever_comes_out_is_short_printable_and_utf8(text: str) -> None:
    kept = scrub(text, "a secret")
    assert len(kept) <= MAX_CHARS
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in kept)
    kept.encode()


def test_what_no_database_takes_is_replaced() -> None:
    value = {"a\0": ["\ud83d cut", float("inf"), 1, None, True]}
    assert storable(value) == {"a\ufffd": ["\ufffd cut", None, 1, None, True]}


def test_facts_too_long_for_a_row_keep_their_numbers() -> None:
    assert bounded({"created": 5, "story": "x" * MAX_FACTS_BYTES}) == {"created": 5}


@given(st.dictionaries(st.text(alphabet=st.characters(exclude_categories=())), JSON, max_size=5))
def test_bounded_facts_always_fit(value: dict[str, object]) -> None:
    assert len(msgspec.json.encode(bounded(value))) <= MAX_FACTS_BYTES
