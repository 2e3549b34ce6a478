"""The notes of what was sent: what a replay may conclude from them, and what not."""

from pathlib import Path

import pytest

from worker import sentlog
from worker.sentlog import SentLog, read_sent

ID = "a_01M824GCGREXY9MZ44NSDA0Z"


def test_a_killed_process_leaves_its_notes_behind(tmp_path: Path) -> None:
    log = SentLog(tmp_path)
    for number in range(10, 20):
        log.note(f"{ID}{number}")
    assert read_sent(tmp_path) == {f"{ID}{number}" for number in range(10, 20)}


def test_only_a_booked_attempt_makes_room_for_another(tmp_path: Path) -> None:
    log = SentLog(tmp_path)
    log.note(f"{ID}10")
    log.note(f"{ID}11")
    log.forget([f"{ID}10"])
    log.note(f"{ID}12")
    assert read_sent(tmp_path) == {f"{ID}11", f"{ID}12"}


def test_the_file_does_not_grow_with_the_calls_made(tmp_path: Path) -> None:
    log = SentLog(tmp_path)
    for number in range(1_000):
        log.note(f"{ID}{number:04d}"[-28:])
        log.forget([f"{ID}{number:04d}"[-28:]])
    assert (tmp_path / sentlog.NAME).stat().st_size < 200


def test_after_a_restart_of_the_machine_nothing_is_concluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SentLog(tmp_path).note(f"{ID}10")
    monkeypatch.setattr(sentlog, "_boot_id", lambda: "another")
    assert read_sent(tmp_path) is None


def test_without_notes_nothing_is_concluded(tmp_path: Path) -> None:
    assert read_sent(tmp_path) is None
