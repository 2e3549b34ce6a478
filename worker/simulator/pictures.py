"""Makes the pictures: real files that any viewer opens, which say what was asked for.

Drawn pictures are small bitmaps of text, enlarged, on a colour from the prompt; they cost a few
milliseconds and are kept for the next caller. Prerendered ones are plain pictures padded to a given file
size, made once per shape. Either way the drawing happens in threads, not on the event loop.
"""

import asyncio
from collections import OrderedDict
from colorsys import hls_to_rgb
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from io import BytesIO
from random import Random
from struct import pack
from zlib import crc32

from PIL import Image, ImageDraw
from pybase64 import b64encode

from worker.simulator.config import SimulatorConfig
from worker.simulator.faults import without_markers
from worker.simulator.glyphs import ROWS_PX, glyph
from worker.simulator.request import ImageRequest

COLUMNS_PX = 256
"""Width on which text is set before it is enlarged to the picture's."""
CACHE_BYTES = 64_000_000
CONTENT_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file, with its base64 form and hash at hand."""

    data: bytes
    b64: bytes
    sha256: str
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """All that decides the bytes of one picture."""

    label: str
    text: str
    width: int
    height: int
    output_format: str
    transparent: bool
    compression: int
    frame_count: int
    frame_duration_ms: int
    pad_to_bytes: int


class Studio:
    """Makes pictures and keeps the recent ones, up to CACHE_BYTES."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, "simulator-draw")
        self._kept: OrderedDict[Sketch, Picture] = OrderedDict()
        self._kept_bytes = 0
        self._drawing: dict[Sketch, asyncio.Future[Picture]] = {}

    async def make(self, config: SimulatorConfig, request: ImageRequest, index: int, note: str = "") -> Picture:
        """Picture `index` of a request; `note` tells a partial image from the final one."""
        sketch = _sketch(config, request, index, note)
        picture = self._kept.get(sketch)
        if picture is None:
            return await self._draw(sketch)
        self._kept.move_to_end(sketch)
        return picture

    def close(self) -> None:
        self._threads.shutdown()

    async def _draw(self, sketch: Sketch) -> Picture:
        """Draw once, however many callers wait for the same picture."""
        drawing = self._drawing.get(sketch)
        if drawing is not None:
            return await drawing
        drawing = asyncio.get_running_loop().run_in_executor(self._threads, render, sketch)
        self._drawing[sketch] = drawing
        try:
            picture = await drawing
        finally:
            del self._drawing[sketch]
        self._keep(sketch, picture)
        return picture

    def _keep(self, sketch: Sketch, picture: Picture) -> None:
        self._kept[sketch] = picture
        self._kept_bytes += _weight(picture)
        while self._kept_bytes > CACHE_BYTES and len(self._kept) > 1:
            self._kept_bytes -= _weight(self._kept.popitem(last=False)[1])


def _sketch(config: SimulatorConfig, request: ImageRequest, index: int, note: str) -> Sketch:
    drawn = config.pictures == "drawn"
    place = f"{index + 1}/{request.n} {note}".rstrip()
    return Sketch(
        label=f"{request.model.id} {request.size} {request.quality} {place}" if drawn else place,
        text=without_markers(request.prompt) if drawn else "",
        width=request.width,
        height=request.height,
        output_format=request.output_format,
        transparent=request.background == "transparent",
        compression=request.compression,
        frame_count=request.frame_count if request.output_format == "gif" else 1,
        frame_duration_ms=request.frame_duration_ms,
        pad_to_bytes=0 if drawn else config.image_bytes,
    )


def _weight(picture: Picture) -> int:
    return len(picture.data) + len(picture.b64)


def render(sketch: Sketch) -> Picture:
    """Draw, encode and hash one picture."""
    data = _svg(sketch) if sketch.output_format == "svg" else _encode(sketch)
    data = padded(data, sketch.output_format, sketch.pad_to_bytes, sketch.label)
    return Picture(
        data=data,
        b64=b64encode(data),
        sha256=sha256(data).hexdigest(),
        format=sketch.output_format,
        width=sketch.width,
        height=sketch.height,
    )


def _colours(sketch: Sketch) -> list[tuple[int, int, int]]:
    """Background, text, and two shades for the shapes; the hue comes from the text and label."""
    hue = sha256(f"{sketch.text}|{sketch.label}".encode()).digest()[0] / 256
    shades = [hls_to_rgb(hue, lightness, 0.5) for lightness in (0.28, 0.96, 0.36, 0.44)]
    return [(round(r * 255), round(g * 255), round(b * 255)) for r, g, b in shades]


def _draw(sketch: Sketch, frame: int = 0) -> Image.Image:
    """The picture in palette colours: 0 background, 1 text, 2 and 3 shapes."""
    zoom = max(1, sketch.width // COLUMNS_PX)
    small = Image.new("P", (-(-sketch.width // zoom), -(-sketch.height // zoom)), 0)
    small.putpalette([value for colour in _colours(sketch) for value in colour])
    _shapes(small, sketch, frame)
    _write(small, f"{sketch.label}\n\n{sketch.text}")
    size = (sketch.width, sketch.height)
    return small.resize(size, Image.Resampling.NEAREST) if small.size != size else small


def _shapes(canvas: Image.Image, sketch: Sketch, frame: int) -> None:
    """A few circles where the text's hash puts them; they wander from frame to frame."""
    pen = ImageDraw.Draw(canvas)
    dice = Random(f"{sketch.text}|{sketch.label}")
    for shade in (2, 3, 2):
        radius = dice.randint(canvas.width // 10, canvas.width // 4)
        x = (dice.randrange(canvas.width) + frame * 8) % canvas.width
        y = dice.randrange(canvas.height)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade)


def _write(canvas: Image.Image, text: str) -> None:
    """Set the text in lines, as much as fits."""
    margin = 4
    x, y = margin, margin
    for character in text:
        bitmap, advance = glyph(character) if character != "\n" else (b"", canvas.width)
        if x + advance > canvas.width - margin:
            x, y = margin, y + ROWS_PX
        if y + ROWS_PX > canvas.height:
            return
        if bitmap:
            canvas.paste(1, (x, y), Image.frombytes("1", (16, 16), bitmap))
            x += advance


def _encode(sketch: Sketch) -> bytes:
    image = _draw(sketch)
    out = BytesIO()
    quality = max(1, sketch.compression)
    match sketch.output_format:
        case "jpeg":
            image.convert("RGB").save(out, "JPEG", quality=min(95, quality))
        case "webp":
            if sketch.transparent:
                image.info["transparency"] = 0
            image.convert("RGBA" if sketch.transparent else "RGB").save(out, "WEBP", quality=quality, method=0)
        case "gif":
            frames = [_draw(sketch, frame) for frame in range(1, sketch.frame_count)]
            duration = max(10, round(sketch.frame_duration_ms, -1))
            image.save(out, "GIF", save_all=True, append_images=frames, duration=duration, loop=0)
        case _:
            clear = {"transparency": 0} if sketch.transparent else {}
            image.save(out, "PNG", compress_level=1, **clear)
    return out.getvalue()


def _svg(sketch: Sketch) -> bytes:
    background, ink, *_ = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in _colours(sketch))
    fill = "none" if sketch.transparent else background
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sketch.width}" height="{sketch.height}"'
        f' viewBox="0 0 {sketch.width} {sketch.height}"><rect width="100%" height="100%" fill="{fill}"/>'
        f'<text x="24" y="64" font-size="32" fill="{ink}">{escape(sketch.label)}</text>'
        f'<text x="24" y="120" font-size="32" fill="{ink}">{escape(sketch.text)}</text></svg>\n'
    ).encode()


def padded(data: bytes, output_format: str, size: int, seed: str) -> bytes:
    """The file with ballast where its format allows it, `size` bytes in all; as it is when larger."""
    room = size - len(data)
    if output_format == "png" and room >= 12:
        ballast = Random(seed).randbytes(room - 12)
        chunk = b"siMb" + ballast
        filler = pack(">I", len(ballast)) + chunk + pack(">I", crc32(chunk))
        return data[:-12] + filler + data[-12:]
    if output_format == "webp" and room >= 8:
        ballast = Random(seed).randbytes((room - 8) & ~1)
        body = data[8:] + b"siMb" + pack("<I", len(ballast)) + ballast
        return b"RIFF" + pack("<I", len(body)) + body
    if output_format == "jpeg" and room >= 4:
        return data[:2] + _jpeg_comments(Random(seed).randbytes(room)) + data[2:]
    return data


def _jpeg_comments(ballast: bytes) -> bytes:
    """Comment segments that fill the room: each four bytes of head and up to 65,533 of text."""
    out = bytearray()
    while len(ballast) - len(out) >= 4:
        text = ballast[: min(65_533, len(ballast) - len(out) - 4)]
        out += b"\xff\xfe" + pack(">H", len(text) + 2) + text
    return bytes(out)
