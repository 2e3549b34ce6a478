"""A bitmap font that shows any prompt: Latin, Greek, Cyrillic, kana, Han, Hangul, symbols.

The pictures are drawn from it, so that a fresh machine without a single font still shows a Chinese or
Japanese prompt. `unifont.xz` is GNU Unifont (see unifont-license.txt): 32 bytes a glyph, 16 rows of 16
bits, the ranges below one after another.
"""

import lzma
from functools import cache
from importlib.resources import files
from unicodedata import east_asian_width

ROWS_PX = 16
GLYPH_BYTES = 32
RANGES = (
    (0x20, 0x530),
    (0x2000, 0x2700),
    (0x2E80, 0x3400),
    (0x4E00, 0xA000),
    (0xAC00, 0xD7A4),
    (0xF900, 0xFB00),
    (0xFF00, 0xFFF0),
)
UNSHOWN = "\u25a1"
"""Stands for a character the font lacks: a white square."""


@cache
def _bitmaps() -> bytes:
    return lzma.decompress(files(__package__).joinpath("unifont.xz").read_bytes())


def _place(character: str) -> int | None:
    """Number of the glyph in the file, None where the font has none."""
    before = 0
    for first, end in RANGES:
        if first <= ord(character) < end:
            return before + ord(character) - first
        before += end - first
    return None


@cache
def glyph(character: str) -> tuple[bytes, int]:
    """The 16 x 16 bitmap (one bit a pixel, rows from the top) and how far to advance: 8 or 16 pixels."""
    place = _place(character)
    if place is None:
        return glyph(UNSHOWN)
    bitmap = _bitmaps()[place * GLYPH_BYTES : (place + 1) * GLYPH_BYTES]
    narrow = east_asian_width(character) not in "WF" and not any(bitmap[1::2])
    return bitmap, 8 if narrow else 16
