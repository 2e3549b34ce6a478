"""The spool: an answer is owned or it is not, and a dead process's answers are found by exactly one other."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobs import files
from jobs.states import Outcome
from worker.calls import Answer, Pause, RateFacts, ReceivedImage
from worker.spool import AbandonedSpool, Group, Spool, abandoned


def received(spool: Spool, attempt: str, data: bytes = b"image") -> ReceivedImage:
    name = f"{attempt}-0.part"
    spool.part_path(name).write_bytes(data)
    return ReceivedImage(0, name, "00", len(data), "png", 1, 1, "a \u732b")


def answer(spool: Spool, attempt: str, **more: Any) -> Answer:
    return Answer(attempt, Outcome.SUCCEEDED, images=(received(spool, attempt),), usage={"input_tokens": 3}, **more)


def dead(root: Path) -> AbandonedSpool:
    found = list(abandoned(root))
    assert len(found) == 1
    return found[0]


def die(spool: Spool) -> None:
    """What a kill does to the lock."""
    os.close(spool._lock)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_answers_survive_their_process_word_for_word(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w1")
    first = answer(spool, "a1", facts={"size": "auto", "deep": [1, None]}, seconds=1.5, rate=RateFacts(2.0, 5))
    second = answer(spool, "a2", pause=Pause(None, "quota", "m"), http_status=200, request_id="req")
    spool.own([first])
    spool.own([second])
    die(spool)
    left = dead(tmp_path)
    assert [group.answers for group in left.groups()] == [(first,), (second,)]
    assert left.part_path("a1-0.part").read_bytes() == b"image"
    left.close()


def test_a_group_costs_one_file_however_many_answers_it_has(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as disk:
        spool = Spool(tmp_path, "w1", disk)
        group = spool.own(answer(spool, f"a{i}") for i in range(50))
    assert len([name for name in names(spool.folder) if name.startswith("answers-")]) == 1
    spool.release(group)
    assert names(spool.folder) == {"lock", "sent"}
    spool.close()


def test_only_what_was_paid_for_is_written_down(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w1")
    errors = [Answer("a1", Outcome.THROTTLED), Answer("a2", Outcome.UNKNOWN)]
    group = spool.own(errors)
    assert group == Group(None, tuple(errors))
    assert names(spool.folder) == {"lock", "sent"}
    paid = spool.own([Answer("a3", Outcome.REFUSED, usage={"input_tokens": 1}), errors[0]])
    spool.release(group)
    die(spool)
    left = dead(tmp_path)
    assert [[one.attempt_id for one in group.answers] for group in left.groups()] == [["a3"]]
    assert len(paid.answers) == 2
    left.close()


def test_a_live_process_is_never_replayed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w1")
    spool.own([answer(spool, "a1")])
    assert list(abandoned(tmp_path)) == []
    die(spool)


def test_a_dead_process_is_replayed_by_one_only(tmp_path: Path) -> None:
    die(Spool(tmp_path, "w1"))
    first = dead(tmp_path)
    assert list(abandoned(tmp_path)) == []
    first.clean()
    first.close()
    assert names(tmp_path) == set()


def test_litter_is_removed_and_groups_not_released_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w1")
    group = spool.own([answer(spool, "a1")])
    spool.part_path("a2-0.part").write_bytes(b"cut")
    (spool.folder / "answers-0000000002.json.tmp").write_bytes(b"[{")
    die(spool)
    left = dead(tmp_path)
    left.clean()
    assert "a2-0.part" in names(left.folder)
    for kept in left.groups():
        assert kept.path == group.path
        left.release(kept)
    left.clean()
    left.close()
    assert names(tmp_path) == set()


def test_a_folder_whose_cleaning_was_cut_short_is_removed(tmp_path: Path) -> None:
    (tmp_path / "w1").mkdir()
    assert list(abandoned(tmp_path)) == []
    assert names(tmp_path) == set()


def test_a_root_that_is_not_there_has_no_dead(tmp_path: Path) -> None:
    assert list(abandoned(tmp_path / "spool")) == []


def test_closing_an_empty_spool_leaves_nothing(tmp_path: Path) -> None:
    Spool(tmp_path, "w1").close()
    assert names(tmp_path) == set()


def test_closing_a_spool_with_answers_leaves_them_to_a_replay(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "w1")
    spool.own([answer(spool, "a1")])
    spool.close()
    left = dead(tmp_path)
    assert len(list(left.groups())) == 1
    left.close()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\0", "x" * 300])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    spool = Spool(tmp_path, "w1")
    with pytest.raises(ValueError, match="no name inside a spool"):
        spool.part_path(name)
    spool.close()


@pytest.mark.parametrize("step", ["fsync", "rename", "fsync_folder", "create"])
def test_when_a_disk_step_fails_nothing_is_owned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    spool = Spool(tmp_path, "w1")
    paid = answer(spool, "a1")

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "disk")

    with monkeypatch.context() as patch:
        patch.setattr(files, step, fails)
        with pytest.raises(OSError, match="disk"):
            spool.own([paid])
    die(spool)
    dead(tmp_path).close()


def test_everything_is_fsynced_before_the_group_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "w1")
    paid = [answer(spool, "a1"), answer(spool, "a2")]
    steps: list[str] = []
    real = files.rename
    monkeypatch.setattr(files, "fsync", lambda path: steps.append(path.name))
    monkeypatch.setattr(files, "rename", lambda source, target: (real(source, target), steps.append("named"))[0])
    monkeypatch.setattr(files, "fsync_folder", lambda path: steps.append(f"folder {path.name}"))
    spool.own(paid)
    assert steps == ["a1-0.part", "a2-0.part", "answers-0000000001.json.tmp", "named", "folder w1"]
    die(spool)


def test_a_killed_process_loses_its_lock(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from worker.spool import Spool;"
        "spool = Spool(Path(sys.argv[1]), 'w1'); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert list(abandoned(tmp_path)) == []
        process.kill()
        process.wait()
    left = dead(tmp_path)
    assert left.owner == "w1"
    left.close()


@pytest.mark.parametrize("end", ["close", "clean"])
def test_a_folder_that_another_process_tidies_away_in_that_moment_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Without its lock and not yet removed, it looks like one that a crash left."""
    spool = Spool(tmp_path, "w_A")
    remove = os.rmdir

    def too_late(*args: Any, **named: Any) -> None:
        monkeypatch.undo()
        assert list(abandoned(tmp_path)) == []
        remove(*args, **named)

    if end == "close":
        monkeypatch.setattr(os, "rmdir", too_late)
        spool.close()
    else:
        die(spool)
        left = dead(tmp_path)
        monkeypatch.setattr(os, "rmdir", too_late)
        left.clean()
        left.close()
    assert list(tmp_path.iterdir()) == []
