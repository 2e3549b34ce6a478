"""Whether the disks have room for the answers in flight: one that cannot be written down is paid for and lost.

The executor asks before every admission, on the dispatcher's thread, and admits no more calls than there is room
for. Nothing is remembered but the largest image: who makes room is found out by the next question.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from jobs.events import tell
from jobs.ledger.admission import Admitted
from worker.calls import Answer

_FIRST_GUESS_BYTES = 4 << 20
"""Of one image, until one has come. Most are below 2 MB."""
_MARGIN = 1.5
"""A coming image may be larger than the largest so far."""
_KEPT_FREE_BYTES = 64 << 20
_KEPT_FREE_PART = 0.05
"""So much of a disk is left alone, at most `_KEPT_FREE_BYTES`: the ledger has to settle, others write as well."""


class Room:
    """Looks at the disks that hold `folders`: the spool, the image store, and the ledger if it is a file."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._largest_bytes = 0
        self._full = False

    def learn(self, answer: Answer) -> None:
        """An answer came: its images say how large the next ones may be."""
        self._largest_bytes = max([self._largest_bytes, *(image.bytes for image in answer.images)])

    def calls(self, in_flight: Iterable[Admitted]) -> int:
        """For how many calls beside those in flight there is room; each like the largest of those in flight."""
        images = [one.n for one in in_flight]
        image_bytes = round(self._largest_bytes * _MARGIN) or _FIRST_GUESS_BYTES
        folder, free_bytes = min(((one, _free_bytes(one)) for one in self._folders), key=lambda pair: pair[1])
        left_bytes = free_bytes - sum(images) * image_bytes
        calls = max(0, left_bytes // (max(images, default=1) * image_bytes))
        self._tell(folder, free_bytes, full=not (calls or images))
        return calls

    def _tell(self, folder: Path, free_bytes: int, *, full: bool) -> None:
        """Once when it begins and once when it ends. While calls are in flight their end may make room."""
        if full != self._full:
            self._full = full
            tell("disk_full" if full else "disk_has_room", folder=str(folder), free_bytes=max(0, free_bytes))


def _free_bytes(folder: Path) -> int:
    """What may be written to the folder's disk. The folder need not be there yet."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = os.statvfs(there)
    kept = min(_KEPT_FREE_BYTES, int(disk.f_blocks * disk.f_frsize * _KEPT_FREE_PART))
    return disk.f_bavail * disk.f_frsize - kept
