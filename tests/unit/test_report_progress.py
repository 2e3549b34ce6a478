"""When a run is shown: not too often, and whenever it changes."""

import io
import json

from jobs.report.live import PanelView
from jobs.report.progress import JsonView, PlainView, SilentView
from jobs.report.table import Look
from tests.unit.standings import glimpse, standing


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_plain_line_comes_every_thirty_seconds() -> None:
    sink, clock = io.StringIO(), Clock()
    with PlainView(sink, clock) as view:
        for _ in range(61):
            view.show(standing())
            clock.now += 1
    assert len(sink.getvalue().splitlines()) == 3


def test_a_plain_line_comes_at_once_when_somebody_is_needed_or_the_state_changes() -> None:
    sink = io.StringIO()
    view = PlainView(sink, Clock())
    waiting = ["rate limit, next slot in 2 s", None, "retry due in 1 s", "endpoint paused: billing: no money"]
    for words in waiting:
        view.show(standing(waiting_for=words))
    view.show(standing(state="paused", waiting_for="paused: budget"))
    lines = sink.getvalue().splitlines()
    assert len(lines) == 3
    assert "endpoint paused: billing" in lines[1]
    assert "paused: budget" in lines[2]


def test_json_lines_come_once_a_second() -> None:
    sink, clock = io.StringIO(), Clock()
    view = JsonView(sink, clock)
    for _ in range(8):
        view.show(standing())
        clock.now += 0.25
    lines = sink.getvalue().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["jobs"]["succeeded"] == 410


def test_silence_lets_remarks_through_escaped() -> None:
    sink = io.StringIO()
    with SilentView(sink) as view:
        view.show(standing())
        view.say("go \x1b on")
    assert sink.getvalue() == "go \\x1b on\n"


def test_the_panel_is_drawn_four_times_a_second_at_most_and_once_more_at_the_end() -> None:
    sink, clock = io.StringIO(), Clock()
    with PanelView(sink, Look(True, 100, color=False), glimpse, clock) as view:
        for _ in range(20):
            view.show(standing())
            clock.now += 0.05
        drawn = sink.getvalue().count("catalogue-autumn")
        view.show(standing({"succeeded": 1000}))
    assert drawn <= 4
    assert "1000/1000 ok" in sink.getvalue()


def test_the_panel_looks_closer_once_a_second_at_most() -> None:
    looks: list[float] = []
    clock = Clock()

    def peek() -> object:
        looks.append(clock.now)
        return glimpse()

    view = PanelView(io.StringIO(), Look(True, 100), peek, clock)  # type: ignore[arg-type]
    with view:
        for _ in range(20):
            view.show(standing())
            clock.now += 0.25
        assert len(looks) == 5


def test_remarks_stand_above_the_panel() -> None:
    sink = io.StringIO()
    with PanelView(sink, Look(True, 100), glimpse, Clock()) as view:
        view.show(standing())
        view.say("finishing [the] calls")
    assert "finishing [the] calls" in sink.getvalue()
