"""Every step that touches a file which must survive a power cut, in one place.

Storage, the spool and the part writers call these and nothing else, as `files.fsync(path)`, so that a test
can put a version in their place that fails, stops the process, or forgets what was not fsynced.
"""

import os
from io import FileIO
from pathlib import Path


def create(path: Path) -> FileIO:
    """An empty file open for writing and reading back; not durable until `fsync` of it and of its folder."""
    return path.open("w+b", buffering=0)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take only a part of it at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def fsync(path: Path) -> None:
    """Wait until the bytes of one file are on the disk, whoever wrote them."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Wait until the names in one folder are on the disk."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def write_durably(path: Path, data: bytes) -> None:
    """`path` holds `data` whole after this, or, after a crash inside it, what it held before."""
    temporary = path.with_name(f"{path.name}.tmp")
    with create(temporary) as file:
        write_all(file, data)
    fsync(temporary)
    rename(temporary, path)
    fsync_folder(path.parent)


def make_folder(path: Path) -> None:
    """The folder, and those above it that are missing, under durable names."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync_folder(path.parent)


def rename(source: Path, target: Path) -> None:
    """Replace `target` by `source` in one step."""
    source.replace(target)


def link(source: Path, target: Path) -> None:
    """Give the file a second name. Raises FileExistsError rather than overwrite."""
    target.hardlink_to(source)


def unlink(path: Path) -> None:
    """Remove a name; nothing happens when it is gone already."""
    path.unlink(missing_ok=True)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
