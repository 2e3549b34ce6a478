"""The image store: parts become named files, whole and durable, and no file is ever overwritten.

The executor publishes what the spool owns, and publishes it again after a crash; a replay that meets its own
files finds them equal and goes on. Names are ours alone and lead nowhere but under the root.
"""

import errno
import filecmp
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from jobs import files
from jobs.errors import ImagemillError, UsageError

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_ID_CHARS = 60
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


class StoreError(ImagemillError):
    """An image cannot be published: its part is gone, or another file stands under its name."""


class LocalStore:
    """Images in a folder of this machine, or of a mounted disk."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def path_of(self, name: str) -> Path:
        """The absolute path of an image. Raises UsageError for a name that leads out of the store."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise UsageError(f"{name!r} is no name inside the image store {self.root}")
        return self.root.joinpath(*parts)

    def publish(self, parts: Iterable[tuple[Path, str]]) -> None:
        """Give each part (already fsynced) its name in the store; durable on return. May be repeated.

        The part keeps its old name until the spool releases it. Raises StoreError or OSError.
        """
        folders: dict[str, Path] = {}
        touched: set[Path] = set()
        for part, name in parts:
            inside, _, file = name.rpartition("/")
            if inside not in folders:
                folders[inside] = folder = self.path_of(name).parent
                touched |= _make_folder(folder) | {folder}
            _publish(part, folders[inside] / _plain(file))
        for folder in touched:
            files.fsync_folder(folder)


def open_store(url: str) -> LocalStore:
    """The store that `IMAGEMILL_STORAGE_URL` names: a folder, or a `file:` URL of one."""
    scheme, rest = urlsplit(url).scheme, urlsplit(url)
    if not url or scheme not in ("", "file"):
        raise UsageError(f"storage {url!r}: only folders are supported, as a path or as file:///path")
    if scheme == "file" and (rest.netloc not in ("", "localhost") or not rest.path.startswith("/")):
        raise UsageError(f"storage {url!r}: a file URL has three slashes, as in file:///srv/images")
    return LocalStore(Path(unquote(rest.path) if scheme else url).expanduser())


def image_name(batch: str, row: int, custom_id: str, attempt_id: str, index: int, extension: str) -> str:
    """`<batch>/<row>_<custom_id made safe>_<attempt>_<index>.<extension>`.

    Unique by row, attempt and index; the custom_id only helps the reader.
    """
    words = f"{row:d}_{_safe(custom_id)[:_MAX_ID_CHARS]}_{_safe(attempt_id)}_{index:d}"
    return f"{_safe(batch)}/{words}.{_safe(extension)}"


def _safe(text: str) -> str:
    """`text` in the letters every file system knows, without dots in front."""
    name = _NOT_ALLOWED.sub("_", text)
    return name if name.strip(".") and not name.startswith(".") else f"_{name.lstrip('.')}"


def _plain(file: str) -> str:
    """One name, of a file and of nothing else."""
    if file in ("", ".", "..") or "\0" in file:
        raise UsageError(f"{file!r} is no name of a file in the image store")
    return file


def _make_folder(folder: Path) -> set[Path]:
    """Make the folder; those whose entries changed by it."""
    changed: set[Path] = set()
    missing = folder
    while not missing.is_dir():
        missing = missing.parent
        changed.add(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return changed


def _publish(part: Path, target: Path) -> None:
    try:
        files.link(part, target)
    except FileExistsError:
        _check_equal(part, target)
    except FileNotFoundError:
        if not target.is_file():
            raise StoreError(f"{part} is gone, and {target} was not published before") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(part, target)


def _copy(part: Path, target: Path) -> None:
    """Publish over a border that links do not cross."""
    if target.exists():
        _check_equal(part, target)
        return
    temporary = target.with_name(f".{target.name}.tmp")
    with part.open("rb") as source, files.create(temporary) as copy:
        while piece := source.read(1 << 20):
            files.write_all(copy, piece)
    files.fsync(temporary)
    files.rename(temporary, target)


def _check_equal(part: Path, target: Path) -> None:
    """A replay meets its own file; anything else under that name must not be touched."""
    if part.exists() and not (target.samefile(part) or filecmp.cmp(part, target, shallow=False)):
        raise StoreError(f"{target} holds another image than {part}; neither was changed")
