"""Answers made safe before they are booked, and found again after a crash.

    <root>/<owner>/lock                  held by flock for as long as the owning process lives
    <root>/<owner>/<attempt>-<n>.part    image files, written by the decoder
    <root>/<owner>/answers-<seq>.json    a group of answers; once it has its name, they are owned
    <root>/<owner>/sent                  attempts that may have been sent and are not booked yet

A worker process keeps one Spool. An answer is owned when its parts and its group file are fsynced; a group is
released after its settlement. What a dead process left is in the folders whose lock can be taken.
"""

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jobs import files
from worker import sentlog
from worker.calls import Answer
from worker.sentlog import SentLog

_LOCK = "lock"
_OURS = frozenset({_LOCK, sentlog.NAME})
_GROUP = re.compile(r"answers-\d+\.json")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class Group:
    """Answers that were owned together. `path` is None where none of them has to outlive a crash."""

    path: Path | None
    answers: tuple[Answer, ...]


class Spool:
    """The spool folder of one live process. Threads may share it; `disk` fsyncs parts side by side."""

    def __init__(self, root: Path, owner: str, disk: Executor | None = None) -> None:
        self.folder = root / _checked(owner)
        self._disk = disk
        self._lock = _claim(self.folder)
        self.sent = SentLog(self.folder)
        self._sequence = 0
        self._counting = threading.Lock()

    def part_path(self, name: str) -> Path:
        """Where the part of that name is. Raises ValueError for a name that could lead elsewhere."""
        return self.folder / _checked(name)

    def own(self, answers: Iterable[Answer]) -> Group:
        """Make answers durable; after this a crash costs none of them.

        Raises OSError: then none of them may be booked, and a second fsync would prove nothing.

        Only what was paid for is written down: answers with images or with usage.
        """
        group = tuple(answers)
        kept = [answer for answer in group if answer.images or answer.usage]
        if not kept:
            return Group(None, group)
        self._fsync_parts([self.part_path(image.part) for answer in kept for image in answer.images])
        path = self.folder / f"answers-{self._next_sequence():010d}.json"
        files.write_durably(path, msgspec.json.encode(kept))
        return Group(path, group)

    def release(self, group: Group) -> None:
        """Forget a settled group: its file first, for without it the parts are litter."""
        if group.path is not None:
            files.unlink(group.path)
        for answer in group.answers:
            for image in answer.images:
                files.unlink(self.part_path(image.part))

    def close(self, *, keep: bool = False) -> None:
        """Let go of the folder. It waits for a replay if answers are left in it, or if the notes of what was sent
        are still needed (`keep`); else it is removed."""
        self.sent.close()
        if not keep and not any(path.name not in _OURS for path in self.folder.iterdir()):
            with suppress(FileNotFoundError):  # another process took the folder without a lock for left behind
                shutil.rmtree(self.folder)
        os.close(self._lock)

    def _fsync_parts(self, paths: list[Path]) -> None:
        if self._disk is None or len(paths) == 1:
            for path in paths:
                files.fsync(path)
        else:
            list(self._disk.map(files.fsync, paths))

    def _next_sequence(self) -> int:
        with self._counting:
            self._sequence += 1
            return self._sequence


class AbandonedSpool:
    """The folder of a dead process; this object holds its lock until `close`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.owner = folder.name
        self._lock = lock

    def groups(self) -> Iterator[Group]:
        """The groups it owned and had not released, oldest first."""
        for path in sorted(self.folder.iterdir()):
            if _GROUP.fullmatch(path.name):
                yield Group(path, tuple(msgspec.json.decode(path.read_bytes(), type=list[Answer])))

    def sent(self) -> frozenset[str] | None:
        """The attempts it may have sent; None: any of them."""
        return sentlog.read_sent(self.folder)

    def part_path(self, name: str) -> Path:
        """Where the part of that name is."""
        return self.folder / _checked(name)

    def release(self, group: Group) -> None:
        """Forget a group that is settled. Its parts go with `clean`."""
        if group.path is not None:
            files.unlink(group.path)

    def clean(self) -> None:
        """Remove the litter, and the folder with it. Groups not released keep both."""
        if any(True for _ in self.groups()):
            return
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                files.unlink(path)
        files.unlink(self.folder / _LOCK)
        with suppress(FileNotFoundError):
            self.folder.rmdir()

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)


def abandoned(root: Path) -> Iterator[AbandonedSpool]:
    """The folders under `root` whose process is dead, each with its lock taken; close each."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        lock = _take(folder / _LOCK)
        if lock is not None:
            yield AbandonedSpool(folder, lock)
        elif folder.is_dir() and not folder.name.startswith("."):
            with suppress(OSError):
                folder.rmdir()  # left by a `clean` that a crash cut short; refuses unless empty


def _checked(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name inside a spool")
    return name


def _claim(folder: Path) -> int:
    """Make the folder, its lock held from the moment it has its name: nobody can take it for abandoned."""
    fresh = folder.with_name(f".{folder.name}")
    files.make_folder(folder.parent)
    fresh.mkdir()
    lock = os.open(fresh / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    files.rename(fresh, folder)
    files.fsync_folder(folder.parent)
    return lock


def _take(path: Path) -> int | None:
    """The lock of a folder, if its process is dead and nobody else is at it."""
    try:
        lock = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(lock).st_ino:  # else removed by another replay just now
            return lock
    os.close(lock)
    return None
