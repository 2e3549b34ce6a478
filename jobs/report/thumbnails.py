"""Pictures made small for the contact sheet. Needs Pillow (extra `simulator`); without it there are none.

What strangers sent is decoded in child processes that have little memory and time: a bomb, or a fault in a decoder,
ends a child, costs a thumbnail and nothing else. Only the four formats that endpoints deliver are decoded, and
nothing whose header promises too many pixels.
"""

import io
import multiprocessing
import os
import resource
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    from PIL import Image
except ModuleNotFoundError:  # the sheet links to the files instead
    Image = None  # type: ignore[assignment]  # checked before use

EDGE_PX = 320
_MOST_PIXELS = 40_000_000
_MEMORY_BYTES = 1 << 30
"""Address space of a child: Python and Pillow take a quarter of it, a picture of the most pixels another."""
_CPU_S = 20
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


class Thumbnails:
    """Makes thumbnails; a context manager that ends its children. `small` may be called from several threads."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool = self._new_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def small(self, path: Path, width: int | None, height: int | None) -> bytes | None:
        """The picture as WebP of at most 320 px; None for what cannot or should not be decoded."""
        if Image is None or (width or 0) * (height or 0) > _MOST_PIXELS:
            return None
        pool = self._pool
        try:
            return pool.submit(_decode, path).result()
        except BrokenProcessPool:
            if pool is self._pool:  # the first thread to notice
                self._pool = self._new_pool()
            return None

    def _new_pool(self) -> ProcessPoolExecutor:
        """Its processes start with the first picture."""
        fresh = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, mp_context=fresh, initializer=_confine)


def _confine() -> None:
    """In a child, before it meets any picture. Ctrl-C is for the parent, which ends the children; a parent that is
    killed cannot, and they would wait for its next picture for ever."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _decode(path: Path) -> bytes | None:
    _, most_s = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + _CPU_S, most_s))
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            picture.thumbnail((EDGE_PX, EDGE_PX), reducing_gap=2.0)
            return _webp(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        return None


def _webp(picture: "Image.Image") -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "WEBP", quality=72)
    return sink.getvalue()
