"""Which of a process's open attempts were sent: a small file in its spool folder that outlives a killed process.

An attempt is noted just before its socket opens and forgotten once it is booked. A replay that finds an attempt
open and not noted here knows that it was never sent, and costs nobody a doubt. The file is not fsynced: after a
restart of the machine it proves nothing, which its first line, the machine's boot id, tells.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

NAME = "sent"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HEAD_BYTES = 64
_PLACE_BYTES = 32


class SentLog:
    """One live process's notes. Thread-safe; a note costs some microseconds and never waits for the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.pwrite(self._file, _boot_id().encode().ljust(_HEAD_BYTES - 1) + b"\n", 0)
        self._places: dict[str, int] = {}
        self._free: deque[int] = deque()
        self._size = _HEAD_BYTES
        self._lock = threading.Lock()

    def note(self, attempt_id: str) -> None:
        """This attempt's socket may open from now on."""
        with self._lock:
            place = self._free.popleft() if self._free else self._grow()
            self._places[attempt_id] = place
        os.pwrite(self._file, attempt_id.encode().ljust(_PLACE_BYTES - 1) + b"\n", place)

    def forget(self, attempt_ids: Iterable[str]) -> None:
        """These are booked: their places may be used again."""
        with self._lock:
            for attempt_id in attempt_ids:
                if (place := self._places.pop(attempt_id, None)) is not None:
                    self._free.append(place)

    def close(self) -> None:
        os.close(self._file)

    def _grow(self) -> int:
        place = self._size
        self._size += _PLACE_BYTES
        return place


def read_sent(folder: Path) -> frozenset[str] | None:
    """The attempts that a dead process may have sent; None when nothing can be concluded."""
    try:
        lines = (folder / NAME).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    if not lines or not _boot_id() or lines[0].strip() != _boot_id():
        return None
    return frozenset(line.strip() for line in lines[1:])


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
