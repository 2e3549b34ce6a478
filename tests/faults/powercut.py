"""A power cut inside one process: what was not fsynced is forgotten, then the process dies.

SIGKILL keeps the page cache and so proves nothing about fsync. Here every file step of `jobs.files` is noted, and
beside them the folders and locks that are made without it; at the cut the bytes and names that no fsync
made durable are taken back. A disk may have kept some of them by chance: `Kept` chooses which.
"""

import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from io import FileIO
from pathlib import Path
from typing import Any

from jobs import files


class Kept(Enum):
    """What survives of the names that nobody fsynced. Bytes that nobody fsynced never do."""

    NOTHING = "nothing"
    REMOVALS = "removals"
    NAMES = "names"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of names that is not durable yet, and how it is taken back."""

    folder: Path
    removal: bool
    undo: Callable[[], object]


class PowerCut:
    """Watches what this process does below `root`; made before it does anything there."""

    def __init__(self, root: Path, kept: Kept) -> None:
        self._root = root.absolute()
        self._kept = kept
        self._stash = self._root.with_name(f"{self._root.name}.cut")
        self._stash.mkdir()
        self._changes: list[_Change] = []
        self._durable_bytes: dict[Path, int] = {}
        self._lock = threading.RLock()
        self._numbers = 0
        self._watch()

    def __call__(self) -> None:
        """Cut. Other threads stand still from here on."""
        self._lock.acquire()
        for path, size in self._durable_bytes.items():
            if path.exists():
                os.truncate(path, min(size, path.stat().st_size))
        for change in reversed(self._changes):
            if self._kept is Kept.NOTHING or (self._kept is Kept.REMOVALS and not change.removal):
                change.undo()
        for notes in self._root.glob("spool/*/sent"):
            notes.write_bytes(b"another boot".ljust(64) + notes.read_bytes()[64:])
        os.kill(os.getpid(), signal.SIGKILL)

    def _watch(self) -> None:
        for name in ("create", "fsync", "fsync_folder", "rename", "link", "unlink"):
            setattr(files, name, self._locked(getattr(self, f"_{name}"), getattr(files, name)))
        Path.mkdir = self._locked(self._mkdir, Path.mkdir)
        os.open = self._locked(self._open, os.open)

    def _locked(self, noted: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            with self._lock:
                return noted(real, *args, **named)

        return step

    def _create(self, real: Callable[..., FileIO], path: Path) -> FileIO:
        self._note(path, lambda: path.unlink(missing_ok=True))
        self._durable_bytes[path] = 0
        return real(path)

    def _fsync(self, real: Callable[..., None], path: Path) -> None:
        real(path)
        self._durable_bytes[path] = path.stat().st_size

    def _fsync_folder(self, real: Callable[..., None], path: Path) -> None:
        real(path)
        self._changes = [change for change in self._changes if change.folder != path]

    def _rename(self, real: Callable[..., None], source: Path, target: Path) -> None:
        before = self._keep(target)
        real(source, target)
        self._follow(source, target)
        self._note(target, lambda: self._rename_back(source, target, before))

    def _link(self, real: Callable[..., None], source: Path, target: Path) -> None:
        real(source, target)
        self._note(target, lambda: target.unlink(missing_ok=True))

    def _unlink(self, real: Callable[..., None], path: Path) -> None:
        kept = self._keep(path)
        real(path)
        if kept:
            self._follow(path, kept)
            self._note(path, lambda: os.link(kept, path), removal=True)

    def _mkdir(self, real: Callable[..., None], path: Path, *args: Any, **named: Any) -> None:
        there = path.is_dir()
        real(path, *args, **named)
        if not there and path.absolute().is_relative_to(self._root):
            self._note(path.absolute(), lambda: shutil.rmtree(path, ignore_errors=True))

    def _open(self, real: Callable[..., int], path: Any, flags: int, *args: Any, **named: Any) -> int:
        name = Path(os.fsdecode(path)).absolute() if isinstance(path, str | os.PathLike) else self._root.parent
        fresh = flags & os.O_CREAT and name.is_relative_to(self._root) and not name.exists()
        descriptor = real(path, flags, *args, **named)
        if fresh:
            self._note(name, lambda: name.unlink(missing_ok=True))
        return descriptor

    def _note(self, path: Path, undo: Callable[[], object], *, removal: bool = False) -> None:
        self._changes.append(_Change(path.parent, removal, undo))

    def _follow(self, source: Path, target: Path) -> None:
        """The bytes are under another name now."""
        if source in self._durable_bytes:
            self._durable_bytes[target] = self._durable_bytes.pop(source)

    def _keep(self, path: Path) -> Path | None:
        """A second name for what is about to lose this one."""
        if not path.is_file():
            return None
        self._numbers += 1
        kept = self._stash / str(self._numbers)
        os.link(path, kept)
        return kept

    def _rename_back(self, source: Path, target: Path, before: Path | None) -> None:
        if target.exists():
            target.rename(source)
        if before:
            os.link(before, target)
