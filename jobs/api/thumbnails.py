"""Thumbnails for pages, made once and kept in the data folder under the image's hash.

Decoding happens in a child process that has little memory and time (`jobs.report.thumbnails`). The folder is a
cache: it may be deleted at any time.
"""

import threading
from pathlib import Path

from jobs import files
from jobs.report.thumbnails import Thumbnails

_PROCESSES = 1


class ThumbnailCache:
    """Thread-safe. Children start with the first picture; `close` ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._maker: Thumbnails | None = None

    def small(self, path: Path, sha256: str, width: int | None, height: int | None) -> Path | None:
        """The file of a WebP of at most 320 px; None where none can be made."""
        kept = self._folder / sha256[:2] / f"{sha256}.webp"
        if not kept.is_file():
            with self._making:  # one at a time: there is one child
                return kept if kept.is_file() or self._make(kept, path, width, height) else None
        return kept

    def close(self) -> None:
        with self._lock:
            maker, self._maker = self._maker, None
        if maker is not None:
            maker.__exit__(None, None, None)

    def _make(self, kept: Path, path: Path, width: int | None, height: int | None) -> bool:
        made = self._thumbnails().small(path, width, height)
        if made is None:
            return False
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.write_durably(kept, made)
        return True

    def _thumbnails(self) -> Thumbnails:
        with self._lock:
            self._maker = self._maker or Thumbnails(_PROCESSES)
            return self._maker
