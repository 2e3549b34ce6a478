"""Publishing: whole, durable, repeatable, and never over another file."""

import errno
import os
from pathlib import Path

import pytest

from jobs import files
from jobs.storage import LocalStore, StoreError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "images")


def part(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_parts_get_their_names(store: LocalStore, tmp_path: Path) -> None:
    store.publish([(part(tmp_path, "p0", b"zero"), "b/0.png"), (part(tmp_path, "p1", b"one"), "c/1.png")])
    assert store.path_of("b/0.png").read_bytes() == b"zero"
    assert store.path_of("c/1.png").read_bytes() == b"one"


def test_publishing_again_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    parts = [(part(tmp_path, "p0", b"zero"), "b/0.png")]
    store.publish(parts)
    store.publish(parts)
    parts[0][0].unlink()
    store.publish(parts)
    assert store.path_of("b/0.png").read_bytes() == b"zero"


def test_an_equal_copy_counts_as_published(store: LocalStore, tmp_path: Path) -> None:
    store.path_of("b/0.png").parent.mkdir(parents=True)
    store.path_of("b/0.png").write_bytes(b"zero")
    store.publish([(part(tmp_path, "p0", b"zero"), "b/0.png")])
    assert store.path_of("b/0.png").read_bytes() == b"zero"


def test_another_file_is_never_overwritten(store: LocalStore, tmp_path: Path) -> None:
    store.publish([(part(tmp_path, "p0", b"first"), "b/0.png")])
    with pytest.raises(StoreError, match="another image"):
        store.publish([(part(tmp_path, "p1", b"other"), "b/0.png")])
    assert store.path_of("b/0.png").read_bytes() == b"first"


def test_a_part_that_is_gone_and_was_not_published_is_an_error(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gone"):
        store.publish([(tmp_path / "nowhere", "b/0.png")])


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
def test_where_links_do_not_reach_the_part_is_copied_whole(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_link(_source: Path, _target: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "link", no_link)
    data = os.urandom(3 << 20)
    for _ in range(2):
        store.publish([(part(tmp_path, "p0", data), "b/0.png")])
    assert store.path_of("b/0.png").read_bytes() == data
    assert [path.name for path in store.path_of("b/0.png").parent.iterdir()] == ["0.png"]
    with pytest.raises(StoreError):
        store.publish([(part(tmp_path, "p1", b"other"), "b/0.png")])


def test_a_full_disk_is_not_hidden(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "link", full)
    with pytest.raises(OSError, match="full"):
        store.publish([(part(tmp_path, "p0", b"zero"), "b/0.png")])


def test_each_touched_folder_is_fsynced_once(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "fsync_folder", synced.append)
    store.publish([(part(tmp_path, f"p{i}", b"x%d" % i), f"b/{i}.png") for i in range(5)])
    assert sorted(synced) == [tmp_path, store.root, store.root / "b"]
    synced.clear()
    store.publish([(part(tmp_path, "p9", b"9"), "b/9.png")])
    assert synced == [store.root / "b"]
