"""Events: every one that the program tells is worded, none without a level, one line of JSON each in a file."""

import io
import json
import re
from pathlib import Path

import pytest
import structlog

import jobs
import worker
from jobs import events

LEVELS = {"debug", "info", "warning", "error"}


@pytest.fixture(autouse=True)
def _own_configuration() -> object:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def told_in_the_source() -> set[str]:
    roots = [Path(package.__path__[0]) for package in (jobs, worker)]
    sources = [path.read_text(encoding="utf-8") for root in roots for path in root.rglob("*.py")]
    return {event for source in sources for event in re.findall(r"\btell\(\s*\"([a-z_]+)\"", source)}


def test_every_event_that_is_told_has_a_level() -> None:
    assert told_in_the_source() <= events._LEVELS.keys()
    assert set(events._LEVELS.values()) <= LEVELS


def test_an_event_is_one_json_line_with_its_level_fields_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    events.configure("info")
    events.tell("batch_done", batch="b_1")
    (line,) = written.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["batch"]) == ("batch_done", "info", "b_1")
    assert said["timestamp"].endswith("Z")


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\nb", "\x9b31m", "\u202egnp", "\x07", "\u2028"])
@pytest.mark.parametrize("terminal", [True, False])
def test_c20_no_field_brings_a_control_character_to_the_log(
    text: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", written)
    events.configure("info")
    events.tell("batch_done", batch=text)
    assert text not in written.getvalue()
    assert len(written.getvalue().splitlines()) == 1


def test_events_below_the_level_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    events.configure("error")
    events.tell("batch_done", batch="b_1")
    events.tell("endpoint_paused", kind="billing")
    assert [json.loads(line)["event"] for line in written.getvalue().splitlines()] == ["endpoint_paused"]


def test_an_event_nobody_worded_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        events.tell("something_happened")
