"""Real image files for tests, made in memory."""

import io
import json
from base64 import b64encode
from functools import cache
from typing import Any

from PIL import Image


@cache
def picture(format: str = "png", width: int = 20, height: int = 10, shade: int = 90) -> bytes:
    """A whole image file. `format` as in ReceivedImage; svg is written by hand."""
    if format == "svg":
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"></svg>'.encode()
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 20, 30)).save(file, format.upper())
    return file.getvalue()


@cache
def noise(side: int = 600) -> bytes:
    """A PNG that does not compress: over a megabyte at the default size."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, "PNG", compress_level=0)
    return file.getvalue()


USAGE = {
    "input_tokens": 15,
    "input_tokens_details": {"text_tokens": 15, "image_tokens": 0},
    "output_tokens": 272,
    "total_tokens": 287,
}


def document(*images: bytes, usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An answer's JSON with these images in it."""
    data = [{"b64_json": b64encode(image).decode()} for image in images]
    return {"created": 1589478378, "data": data, "usage": usage or USAGE, **more}


def text(*images: bytes, **more: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(document(*images, **more)).encode()
