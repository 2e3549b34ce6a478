"""Image bytes on their way to disk: counted, hashed, written to part files, and checked once whole.

The decoder and the downloader open one PartWriter per image, in a thread of the disk pool. What comes out is
a Part, complete on disk but not yet fsynced, or Broken, which says why paid bytes are of no use; a broken
image leaves no file. Only a failing disk raises (OSError).
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path

import pybase64

from jobs import files
from worker.images import BrokenImage, Picture, inspect

MAX_IMAGE_BYTES = 64 << 20
MAX_IMAGES = 64
"""Per answer; the largest n is 10."""

_MOST_KEPT_BYTES = 32 << 10
"""A small image is inspected in memory, a larger one is read back: hundreds may be under way."""
_MAX_PREFIX_BYTES = 128
_PAD = ord("=")
_DATA_URL = re.compile(rb"data:[^,]{0,100};base64,")


@dataclass(frozen=True, slots=True)
class Part:
    """One whole image in the spool folder."""

    name: str
    sha256: str
    bytes: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Broken:
    """An image that was paid for and is of no use. `kind` is the stable word for reports."""

    kind: str
    message: str


class Parts:
    """The part files of one answer."""

    def __init__(
        self, path_of: Callable[[str], Path], attempt_id: str, max_image_bytes: int = MAX_IMAGE_BYTES
    ) -> None:
        self._path_of = path_of
        self._attempt_id = attempt_id
        self._max_image_bytes = max_image_bytes
        self._writers: list[PartWriter] = []

    def begin(self) -> "PartWriter":
        """A writer for the next image."""
        name = f"{self._attempt_id}-{len(self._writers)}.part"
        writer = PartWriter(self._path_of(name), self._max_image_bytes)
        if len(self._writers) >= MAX_IMAGES:
            writer.fail("too_many_images", f"the answer carries more than {MAX_IMAGES} images")
        else:
            self._writers.append(writer)
        return writer

    def has_others(self, keep: frozenset[str]) -> bool:
        """Whether there are part files beside those named in `keep`."""
        return any(writer.has_file and writer.path.name not in keep for writer in self._writers)

    def discard(self, keep: frozenset[str] = frozenset()) -> None:
        """Remove every part but those named in `keep`."""
        for writer in self._writers:
            if writer.path.name not in keep:
                writer.discard()


class PartWriter:
    """One image, written as its bytes come."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file: FileIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._only_piece: bytes | None = None
        self._broken: Broken | None = None

    @property
    def failed(self) -> bool:
        """Nothing that is still to come can mend it."""
        return self._broken is not None

    @property
    def has_file(self) -> bool:
        """Whether there is something on the disk to be removed."""
        return self._size > 0

    def write(self, data: bytes) -> None:
        """Append image bytes. After a failure they are dropped."""
        if self._broken or not data:
            return
        self._size += len(data)
        if self._size > self._max_bytes:
            self.fail("image_too_large", f"the image is larger than {self._max_bytes} bytes")
            return
        if self._file is None:
            self._file = files.create(self.path)
        self._only_piece = data if self._size == len(data) <= _MOST_KEPT_BYTES else None
        self._hash.update(data)
        files.write_all(self._file, data)

    def fail(self, kind: str, message: str) -> Broken:
        """Give the image up and remove its file."""
        self._broken = Broken(kind, message)
        self.discard()
        return self._broken

    def finish(self) -> Part | Broken:
        """Check the image as a whole."""
        if self._broken is not None:
            return self._broken
        if self._file is None:
            return self.fail("image_empty", "the image has no bytes")
        try:
            picture = inspect(self._file if self._only_piece is None else BytesIO(self._only_piece))
        except BrokenImage as error:
            return self.fail(error.kind, str(error))
        self._close()
        return Part(self.path.name, self._hash.hexdigest(), self._size, picture)

    def discard(self) -> None:
        """Remove the file, if there is one."""
        self._close()
        if self.has_file:
            files.unlink(self.path)
            self._size = 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Base64Text:
    """Turns base64 text that comes in pieces of any size into the bytes of one part; strict.

    A `data:image/png;base64,` in front is taken off.
    """

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        self._carry = b""
        self._prefix_done = False
        self._ended = False

    def feed(self, text: bytes) -> None:
        """The next piece of the text."""
        if self._writer.failed:
            return
        if not self._prefix_done:
            text = self._carry + text
            if len(text) < _MAX_PREFIX_BYTES:
                self._carry = text
                return
            text, self._carry = self._without_prefix(text), b""
        begun = -len(self._carry) % 4
        self._carry += text[:begun]
        if len(self._carry) < 4 and begun:
            return
        whole = begun + (len(text) - begun & ~3)
        self._decode(self._carry)
        self._decode(memoryview(text)[begun:whole])
        self._carry = text[whole:]

    def finish(self) -> Part | Broken:
        """The part, once the last piece was fed."""
        text = self._carry if self._prefix_done else self._without_prefix(self._carry)
        self._decode(text)
        return self._writer.finish()

    def _without_prefix(self, text: bytes) -> bytes:
        self._prefix_done = True
        found = _DATA_URL.match(text)
        return text[found.end() :] if found else text

    def _decode(self, text: bytes | memoryview) -> None:
        if not text or self._writer.failed:
            return
        try:
            data = pybase64.b64decode(text, validate=True)
        except ValueError:
            self._writer.fail("bad_base64", "the image is no valid base64")
            return
        if self._ended:
            self._writer.fail("bad_base64", "the image goes on after the end of its base64")
            return
        self._ended = text[-1] == _PAD
        self._writer.write(data)
