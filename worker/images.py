"""What an image file is, read from its first and last bytes; no pixel is ever decoded here.

The part writer calls `inspect` on each finished part. A file that is not whole, not an image, or claims more
pixels than any model makes raises BrokenImage: such an image was paid for and is of no use.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

MAX_PIXELS = 33_177_600
"""7680 x 4320: four times what the largest model makes. A larger claim is a decompression bomb."""

HEAD_BYTES = 1024
_TAIL_BYTES = 64
_PADDING = b"\0 \t\r\n"
# Possessive: a hundred comments must not be read in every way that they can be split.
_SVG_START = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--(?:(?!-->).)*+-->\s*+)*+(?:<!DOCTYPE svg[^>]*+>\s*+)?<svg[\s>]", re.DOTALL
)
_SVG_SIDE = rb"""\s%s\s*=\s*["'](\d{1,6})(?:\.\d*)?(?:px)?["']"""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST_STEPS = 2_000
"""Segments before a JPEG's frame, and fill bytes before a segment: each costs a look at the file."""
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})

Size = tuple[int, int] | None
"""Width and height in pixels; None where the format need not say."""


class BrokenImage(Exception):
    """Paid bytes of no use. `kind` is the stable word for reports."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Picture:
    """What the header says of an image file that is whole."""

    format: str
    width: int | None
    height: int | None


def sniff(head: bytes) -> str | None:
    """The format by the magic bytes: png, jpeg, webp, gif, svg, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "svg" if _SVG_START.match(head.removeprefix(b"\xef\xbb\xbf")) else None


def inspect(file: BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Format and size of the image in `file`, which is read at its head and its tail only."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    kind = sniff(head)
    if kind is None:
        raise BrokenImage("not_an_image", f"the bytes are no image, they begin with {head[:16]!r}")
    size = _sizes(kind)(file, head)
    if not _ends_well(kind, file, head):
        raise BrokenImage("image_cut", f"the {kind} ends before its end mark")
    if size is None:
        return Picture(kind, None, None)
    _check_pixels(kind, size, max_pixels)
    return Picture(kind, *size)


def _check_pixels(kind: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise BrokenImage("image_header", f"the {kind} header says {width} x {height} pixels")
    if width * height > max_pixels:
        raise BrokenImage("image_too_many_pixels", f"the {kind} claims {width} x {height} pixels")


def _sizes(kind: str) -> Callable[[BinaryIO, bytes], Size]:
    return {"png": _png_size, "jpeg": _jpeg_size, "webp": _webp_size, "gif": _gif_size, "svg": _svg_size}[kind]


def _unpack(layout: str, head: bytes, offset: int) -> tuple[int, int]:
    try:
        first, second = struct.unpack_from(layout, head, offset)
    except struct.error:
        raise BrokenImage("image_cut", "the header is cut") from None
    return first, second


def _png_size(_file: BinaryIO, head: bytes) -> Size:
    if head[12:16] != b"IHDR":
        raise BrokenImage("image_header", "the png does not begin with its header chunk")
    return _unpack(">II", head, 16)


def _gif_size(_file: BinaryIO, head: bytes) -> Size:
    return _unpack("<HH", head, 6)


def _jpeg_size(file: BinaryIO, _head: bytes) -> Size:
    """Walk from segment to segment until the one that begins a frame."""
    file.seek(2)
    for _ in range(_MOST_STEPS):
        marker = _jpeg_marker(file)
        if marker in _JPEG_FRAMES:
            height, width = _unpack(">HH", file.read(7), 3)
            return width, height
        if marker not in _JPEG_BARE:
            length = int.from_bytes(file.read(2), "big")
            if length < 2:
                raise BrokenImage("image_header", "a jpeg segment has no length")
            file.seek(length - 2, 1)
    raise BrokenImage("image_header", f"the jpeg has {_MOST_STEPS} segments and still no frame header")


def _jpeg_marker(file: BinaryIO) -> int:
    lead, marker = file.read(1), file.read(1)
    for _ in range(_MOST_STEPS):
        if marker != b"\xff":
            break
        marker = file.read(1)
    if lead != b"\xff" or marker in (b"", b"\xff", b"\xd9", b"\xda"):
        raise BrokenImage("image_header", "the jpeg has no frame header")
    return marker[0]


def _webp_size(_file: BinaryIO, head: bytes) -> Size:
    match head[12:16]:
        case b"VP8X":
            wide, high = head[24:27], head[27:30]
            return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = _unpack("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
    raise BrokenImage("image_header", "the webp has no picture chunk")


def _svg_size(_file: BinaryIO, head: bytes) -> Size:
    """Width and height attributes of the root where they are plain numbers; an svg need not have them."""
    root = head[head.find(b"<svg") :].split(b">", 1)[0]
    wide, high = (re.search(_SVG_SIDE % name, root) for name in (b"width", b"height"))
    return (int(wide[1]), int(high[1])) if wide and high else None


def _ends_well(kind: str, file: BinaryIO, head: bytes) -> bool:
    size = file.seek(0, 2)
    if kind == "webp":
        return 8 + int.from_bytes(head[4:8], "little") <= size
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read().rstrip(_PADDING).endswith(_END_MARKS[kind])


_END_MARKS = {
    "png": b"IEND\xae\x42\x60\x82",
    "jpeg": b"\xff\xd9",
    "gif": b";",
    "svg": b"</svg>",
}
