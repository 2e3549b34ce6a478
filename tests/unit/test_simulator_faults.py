"""The marker language, and the drawing of faults by rate."""

import pytest

from worker.simulator import faults
from worker.simulator.faults import (
    ENDINGS,
    SPOILS,
    Fault,
    draw,
    drawn_fault,
    ending_error,
    plan,
    read_fault,
    read_markers,
    without_markers,
)


def test_a_marker_is_read_with_number_times_and_billing() -> None:
    assert read_markers("a fox [[sim: 429 0.2 x2]] [[ SIM: reset unbilled ]]") == [
        Fault("429", 0.2, 2, None),
        Fault("reset", None, None, False),
    ]


def test_markers_are_not_part_of_the_picture() -> None:
    assert without_markers("a fox [[sim: 500]] at night") == "a fox at night"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'refuse'"):
        read_fault("refuze")


@pytest.mark.parametrize("words", ["", "500 twice", "500 x", "cut -1"])
def test_words_that_make_no_sense_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        read_fault(words)


def test_every_name_stands_in_the_description() -> None:
    words = set((faults.__doc__ or "").replace(",", " ").split())
    assert words >= ENDINGS | SPOILS | {"billed-500"}


def test_a_fault_ends_after_its_times() -> None:
    again = read_markers("[[sim: 429 x2]]")
    names = [(found := plan(again, ordinal).ending) and found.name for ordinal in range(4)]
    assert names == ["429", "429", None, None]


def test_several_endings_take_turns() -> None:
    turns = read_markers("[[sim: 429 x2]] [[sim: 500 x1]] [[sim: cut x1]]")
    assert [plan(turns, ordinal).words for ordinal in range(4)] == ["429+cut", "429", "500", ""]


@pytest.mark.parametrize(
    ("words", "billed"),
    [
        ("500", False),
        ("500 billed", True),
        ("billed-500", True),
        ("429", False),
        ("html-502", False),
        ("html-502 billed", True),
        ("timeout", True),
        ("reset", True),
        ("reset unbilled", False),
        ("cut", True),
        ("cut unbilled", False),
        ("empty", True),
        ("no-usage", True),
    ],
)
def test_errors_are_free_and_silence_is_billed_unless_said_otherwise(words: str, billed: bool) -> None:
    assert plan([read_fault(words)], 0).billed is billed


def test_a_marker_whose_times_are_over_no_longer_decides_the_bill() -> None:
    once = read_markers("[[sim: reset x1 unbilled]]")
    assert [plan(once, 0).billed, plan(once, 1).billed] == [False, True]


def test_the_number_of_a_limit_is_its_advice() -> None:
    assert ending_error(read_fault("429 0.25"), 9.0).headers == {"Retry-After": "1", "retry-after-ms": "250"}
    assert ending_error(read_fault("503"), 9.0).headers == {"Retry-After": "9", "retry-after-ms": "9000"}
    assert ending_error(read_fault("quota"), 9.0).headers == {}


def test_draws_depend_on_nothing_but_their_arguments() -> None:
    assert draw(1, b"fox", 0, "fault") == draw(1, b"fox", 0, "fault")
    others = {draw(2, b"fox", 0, "fault"), draw(1, b"owl", 0, "fault"), draw(1, b"fox", 1, "fault")}
    assert draw(1, b"fox", 0, "fault") not in others
    assert draw(1, b"fox", 0, "latency") != draw(1, b"fox", 0, "fault")


def test_rates_take_their_share_of_the_draws() -> None:
    rates = [(Fault("429"), 0.2), (Fault("500"), 0.1)]
    drawn = [drawn_fault(rates, draw(7, b"fox", ordinal, "fault")) for ordinal in range(5000)]
    names = [fault.name if fault else None for fault in drawn]
    assert 900 < names.count("429") < 1100
    assert 430 < names.count("500") < 570
