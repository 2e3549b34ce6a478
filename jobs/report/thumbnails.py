"""Pictures made small for the contact sheet. Needs Pillow (extra `simulator`); without it there are none.

Only the four formats that endpoints deliver are decoded, and nothing whose header promises too many pixels.
"""

import io
from pathlib import Path

try:
    from PIL import Image
except ModuleNotFoundError:  # the sheet links to the files instead
    Image = None  # type: ignore[assignment]  # checked before use

EDGE_PX = 320
_MOST_PIXELS = 40_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def thumbnail(path: Path, width: int | None, height: int | None) -> bytes | None:
    """The picture as WebP of at most 320 px; None without Pillow, and for what cannot or should not be decoded."""
    if Image is None or (width or 0) * (height or 0) > _MOST_PIXELS:
        return None
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            picture.thumbnail((EDGE_PX, EDGE_PX), reducing_gap=2.0)
            return _webp(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _webp(picture: "Image.Image") -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "WEBP", quality=72)
    return sink.getvalue()
