"""An answer of any bytes, plain, compressed or as events, in any pieces: decoded, or a DecodeError, nothing else.

The first byte chooses the decoder, the second the pieces; the rest is the body. However a body is cut into pieces,
the result is the same.
"""

import gzip
import random
import tempfile
from pathlib import Path

from tests.pictures import picture, text
from worker import answer
from worker.answer import AnswerDecoder, Decoded, Decoder
from worker.inflate import InflatingDecoder
from worker.parts import Broken, Part, Parts
from worker.scan import DecodeError
from worker.sse import EventDecoder
from worker.verdict import read_error

MAX_BYTES = 1 << 20
SECRET = "canary-7"

_PLAIN = text(picture("gif"), echo=SECRET)
_EVENTS = b"event: image_generation.completed\r\ndata: " + _PLAIN + b"\r\n\r\ndata: [DONE]\n\n"
_ERROR = b'{"error":{"message":"no \\ud800 \\u0000","code":"slow_down"},"data":[{}],"usage":{"total_tokens":-1}}'
_PACKED, _STREAM, _SCANNED = 1, 2, 4
"""Compressed bytes may be wrong in two ways, and which is met first depends on the pieces."""
SEEDS = [
    bytes([flags, 7]) + (gzip.compress(body, mtime=0) if flags & _PACKED else body)
    for flags in range(8)
    for body in (_PLAIN, _EVENTS, _ERROR)
]

Outcome = Decoded | str
"""What a decoder came to: the answer, or the kind of the error."""


def target(data: bytes) -> None:
    """Raises AssertionError, or whatever the product let through."""
    flags, seed, body = (*data[:2], data[2:]) if len(data) >= 2 else (0, 0, data)
    assert SECRET not in repr(read_error(body, SECRET).usage)
    whole_bytes, answer.WHOLE_BYTES = answer.WHOLE_BYTES, 0 if flags & _SCANNED else answer.WHOLE_BYTES
    try:
        with tempfile.TemporaryDirectory() as name:
            at_once = outcome(Path(name), flags, [body])
        with tempfile.TemporaryDirectory() as name:
            in_pieces = outcome(Path(name), flags, pieces(body, seed))
    finally:
        answer.WHOLE_BYTES = whole_bytes
    if not (flags & _PACKED and isinstance(in_pieces, str) and isinstance(at_once, str)):  # see `_PACKED`
        assert in_pieces == at_once, (in_pieces, at_once)


def outcome(folder: Path, flags: int, body: list[bytes]) -> Outcome:
    """Decode, and look at what was left in the folder."""
    parts = Parts(folder.joinpath, "a1", MAX_BYTES)
    try:
        decoder = new_decoder(parts, flags)
        for piece in body[:-1]:
            decoder.feed(piece)
        decoded = decoder.finish(body[-1])
    except DecodeError as error:
        parts.discard()
        assert list(folder.iterdir()) == []
        return error.kind
    check(folder, decoded)
    return decoded


def new_decoder(parts: Parts, flags: int) -> Decoder:
    kind = EventDecoder if flags & _STREAM else AnswerDecoder
    decoder = kind(parts, max_bytes=MAX_BYTES, secret=SECRET)
    return InflatingDecoder("gzip", decoder) if flags & _PACKED else decoder


def pieces(body: bytes, seed: int) -> list[bytes]:
    """The body cut at random, the same way each time for the same seed."""
    draw = random.Random(seed)
    places = sorted(draw.randrange(len(body) + 1) for _ in range(draw.randrange(1, 20)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def check(folder: Path, decoded: Decoded) -> None:
    """Images are on the disk as they are told of; nothing told holds the secret."""
    named = {item.image.name: item.image for item in decoded.items if isinstance(item.image, Part)}
    for item in decoded.items:
        assert isinstance(item.image, Part | Broken | None)
    for name, part in named.items():
        assert (folder / name).stat().st_size == part.bytes
    urls = [item.url or "" for item in decoded.items]
    assert SECRET not in repr(decoded).replace(repr(urls), "") or any(SECRET in url for url in urls)
