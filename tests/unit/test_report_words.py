"""Words for figures, and hostile text made harmless."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.report.words import counted, duration, escaped, json_text, shortened, usd, usd_brief, with_unpriced

HOSTILE = "\x00\x07\x1b\x7f\x85\x9b\u200e\u202a\u202e\u2028\u2066\ufeff"


def test_control_and_direction_characters_are_written_as_escapes() -> None:
    assert escaped("red \x1b[31m, back \u202e, 猫\tnext\n") == "red \\x1b[31m, back \\u202e, 猫\\tnext\\n"


@given(st.text())
def test_c20_no_text_brings_a_control_character_to_the_terminal(text: str) -> None:
    seen = escaped(text + HOSTILE)
    assert not any(ord(one) < 0x20 or 0x7F <= ord(one) <= 0x9F or one in HOSTILE for one in seen)


@given(st.text(st.characters(codec=None)))
def test_json_keeps_every_text_exactly_and_shows_none_of_it_raw(text: str) -> None:
    line = json_text({"prompt": text + HOSTILE})
    assert json.loads(line) == {"prompt": text + HOSTILE}
    assert not any(one in HOSTILE for one in line)
    assert line.encode("utf-8")


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "$0.00"), (41_460_000, "$0.04146"), (115_000, "$0.000115"), (-5 * 10**8, "-$0.50")]
)
def test_dollars_are_exact(nano: int, text: str) -> None:
    assert usd(nano) == text


def test_the_panel_rounds_to_cents_and_below_a_dollar_finer() -> None:
    assert (usd_brief(17_083_241_000), usd_brief(41_460_000), usd_brief(0)) == ("$17.08", "$0.0415", "$0.00")


def test_unpriced_is_never_shown_as_nothing() -> None:
    assert with_unpriced(41_800_000_000, 12) == "$41.80 + 12 unpriced"
    assert with_unpriced(0, 1) == "$0.00 + 1 unpriced"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (630, "10 min 30 s"), (3600, "1 h"), (11_100, "3 h 5 min")],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_of_a_thing_has_no_plural() -> None:
    assert (counted(1, "job"), counted(0, "job"), counted(1200, "job")) == ("1 job", "0 jobs", "1,200 jobs")


def test_what_is_cut_says_so() -> None:
    assert (shortened("abcdef", 4), shortened("abcd", 4)) == ("abc…", "abcd")
