"""The file steps: whole or not at all."""

from pathlib import Path

import pytest

from jobs import files


def test_a_durable_write_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    files.write_durably(path, b"first")
    files.write_durably(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.json"
    files.write_durably(path, b"first")

    def fails(_path: Path) -> None:
        raise OSError("disk")

    monkeypatch.setattr(files, "fsync", fails)
    with pytest.raises(OSError, match="disk"):
        files.write_durably(path, b"second")
    assert path.read_bytes() == b"first"


def test_a_link_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"new")
    (tmp_path / "image").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        files.link(tmp_path / "part", tmp_path / "image")


def test_folders_and_files_can_be_fsynced_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"x")
    files.fsync(tmp_path / "part")
    files.fsync_folder(tmp_path)
    with pytest.raises(NotADirectoryError):
        files.fsync_folder(tmp_path / "part")


def test_what_is_gone_can_be_removed_again(tmp_path: Path) -> None:
    files.unlink(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_with_all_above_it_each_name_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsynced: list[Path] = []
    monkeypatch.setattr(files, "fsync_folder", fsynced.append)
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert fsynced == [tmp_path, tmp_path / "a"]
