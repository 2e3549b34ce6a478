"""What image bytes are, told from their head and tail."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import picture
from worker.images import BrokenImage, Picture, inspect, sniff

FORMATS = ["png", "jpeg", "webp", "gif", "svg"]


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def broken(data: bytes) -> str:
    with pytest.raises(BrokenImage) as error:
        inspect(io.BytesIO(data))
    return error.value.kind


@pytest.mark.parametrize("format", FORMATS)
def test_format_and_size_are_read_from_the_header(format: str) -> None:
    assert inspect(io.BytesIO(picture(format, 321, 123))) == Picture(format, 321, 123)


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_cut_anywhere_is_broken(format: str) -> None:
    whole = picture(format, 64, 64)
    for length in range(1, len(whole), max(1, len(whole) // 50)):
        assert broken(whole[:length]) in {"image_cut", "image_header", "not_an_image"}


def test_every_kind_of_webp_tells_its_size() -> None:
    from PIL import Image

    for options in ({"lossless": True}, {"lossless": False}, {"lossless": True, "exif": b"Exif\0\0" + b"x" * 40}):
        file = io.BytesIO()
        Image.new("RGB", (300, 200), (9, 9, 9)).save(file, "WEBP", **options)
        assert inspect(file) == Picture("webp", 300, 200)


def test_a_jpeg_with_a_long_preface_tells_its_size() -> None:
    plain = picture("jpeg", 33, 44)
    preface = b"".join(b"\xff\xe2" + struct.pack(">H", 60_002) + b"p" * 60_000 for _ in range(5))
    assert inspect(io.BytesIO(plain[:2] + preface + plain[2:])) == Picture("jpeg", 33, 44)


def test_an_svg_need_not_tell_its_size() -> None:
    assert (
        inspect(io.BytesIO(b'<?xml version="1.0"?>\n<!-- hi -->\n<svg viewBox="0 0 1 1"/></svg>\n')).width is None
    )


@pytest.mark.parametrize("data", [b"", b"<html><body>no</body></html>", b"%PDF-1.7", b"\x89PNG", b"{}"])
def test_c7_what_is_no_image_is_called_so(data: bytes) -> None:
    assert sniff(data) is None
    assert broken(data) == "not_an_image"


def test_c6_an_image_that_claims_giant_dimensions_is_refused() -> None:
    assert broken(png(9000, 9000)) == "image_too_many_pixels"
    assert broken(png(0, 10)) == "image_header"


class Watched(io.BytesIO):
    """Counts what is read of it."""

    read_bytes = 0
    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        self.reads += 1
        return data


@pytest.mark.parametrize(
    "data",
    [
        png(9000, 9000) + bytes(20 << 20),
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 500_000 + b"\xff\xd9",
        b"\xff\xd8" + b"\xff\x01" * 500_000 + b"\xff\xd9",
        b"\xff\xd8" + b"\xff" * 1_000_000 + b"\xff\xd9",
        b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(1 << 20),
        b"GIF89a\xff\xff\xff\xff" + bytes(1 << 20),
        b"<svg>" + b"<g>" * 300_000,
    ],
)
def test_c6_of_a_hostile_file_little_is_read(data: bytes) -> None:
    file = Watched(data)
    with pytest.raises(BrokenImage):
        inspect(file)
    assert (file.read_bytes <= 20_000, file.reads <= 10_000) == (True, True)


@pytest.mark.parametrize("tail", [b"x", b"<svg>"])
def test_c6_comments_before_a_drawing_are_read_in_one_way_only(tail: bytes) -> None:
    assert sniff(b"<!---->" * 140 + tail) == ("svg" if tail == b"<svg>" else None)  # else this never ends


def test_padding_after_the_end_mark_does_no_harm() -> None:
    assert inspect(io.BytesIO(picture("png") + b"\0\0\n")).format == "png"


@given(st.sampled_from(FORMATS), st.integers(0, 400), st.binary(max_size=40))
def test_no_bytes_raise_anything_but_broken_image(format: str, place: int, change: bytes) -> None:
    data = bytearray(picture(format))
    data[place : place + len(change)] = change
    try:
        inspect(io.BytesIO(bytes(data)))
    except BrokenImage as error:
        assert error.kind
