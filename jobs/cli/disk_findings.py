"""What `doctor` finds about disks: room, and whether they keep what must outlive a process."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from jobs.cli.finding import Finding
from jobs.settings import Settings

_LEAST_FREE_BYTES = 1 << 30
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_IN_CONTAINER = frozenset({"overlay", "aufs"})
_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre")
_MOUNTS = Path("/proc/self/mounts")


def examine_disks(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.absolute()
    there = _there(folder)
    if not os.access(there, os.W_OK):
        yield Finding("data folder", "bad", f"{there} is not writable; --data-dir names another one")
        return
    free = shutil.disk_usage(there).free
    told = f"{folder}, {free / 1e9:,.1f} GB free"
    if free < _LEAST_FREE_BYTES:
        yield Finding("data folder", "bad", f"{told}: make room, images and answers in flight need it")
    else:
        yield Finding("data folder", "ok", told)
    yield from _spool(settings.spool_dir)
    if settings.ledger_url.startswith("sqlite"):
        yield from _sqlite(Path(settings.ledger_url.partition(":///")[2].partition("?")[0]))


def _spool(folder: Path) -> Iterator[Finding]:
    """Answers that were paid for lie there until they are booked."""
    kind = _kind_of(_there(folder))
    if kind in _IN_MEMORY:
        yield Finding("spool", "bad", f"{folder} is in memory ({kind}): a restart loses paid answers; use a disk")
    elif kind in _IN_CONTAINER:
        told = f"{folder} is the container's own layer ({kind}), gone with the container: mount a volume there"
        yield Finding("spool", "look", told)
    elif kind.startswith(_NETWORK):
        told = f"{folder} is on {kind}: locks there must reach every machine that mounts it; a local disk is safer"
        yield Finding("spool", "look", told)


def _sqlite(file: Path) -> Iterator[Finding]:
    kind = _kind_of(_there(file))
    if kind.startswith(_NETWORK):
        told = f"{file} is on {kind}, where SQLite's log does not work: use a local disk, or PostgreSQL"
        yield Finding("database file", "bad", told)


def _there(place: Path) -> Path:
    """The place, or the nearest folder above it that exists."""
    return next(one for one in (place, *place.parents) if one.exists())


def _kind_of(place: Path) -> str:
    """The kind of file system the place is on; empty where the system does not tell."""
    try:
        lines = [line.split() for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    resolved = place.resolve()
    over = [(point, kind) for _, point, kind, *_ in lines if resolved.is_relative_to(_unescaped(point))]
    return max(over, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _unescaped(point: str) -> str:
    """Blanks are written as octal numbers there."""
    return point.replace("\\040", " ").replace("\\011", "\t")
