"""Compressed answers pass through in pieces of bounded size, and a cut one is noticed."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.answer import Decoded
from worker.inflate import InflatingDecoder, inflated
from worker.scan import DecodeError


class Collector:
    """Takes what a decoder would."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.pieces.append(data)

    def finish(self, data: bytes = b"") -> Decoded:
        self.pieces.append(data)
        return Decoded((), None)

    def complete(self, asked: int) -> bool:
        return asked == len(self.pieces)


def packed(data: bytes, window: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(data) + packer.flush()


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_any_split_gives_the_whole(data: bytes, size: int) -> None:
    collector = Collector()
    decoder = InflatingDecoder("gzip", collector)
    body = packed(data)
    for start in range(0, len(body), size):
        decoder.feed(body[start : start + size])
    decoder.finish()
    assert b"".join(collector.pieces) == data


def test_a_bomb_comes_in_pieces() -> None:
    collector = Collector()
    InflatingDecoder("deflate", collector).finish(packed(bytes(20 << 20), 15))
    assert sum(map(len, collector.pieces)) == 20 << 20
    assert max(map(len, collector.pieces)) <= 256 << 10


@pytest.mark.parametrize(
    ("body", "kind"), [(packed(b"x" * 5000)[:-9], "answer_cut"), (b"no gzip at all", "malformed_answer")]
)
def test_what_cannot_be_inflated_is_a_decode_error(body: bytes, kind: str) -> None:
    with pytest.raises(DecodeError) as error:
        InflatingDecoder("gzip", Collector()).finish(body)
    assert error.value.kind == kind


def test_completeness_is_asked_of_the_decoder_behind() -> None:
    assert InflatingDecoder("gzip", Collector()).complete(0)


def test_a_small_body_is_inflated_up_to_its_limit() -> None:
    assert inflated(packed(b"y" * 100), "gzip", 10) == b"y" * 10
    assert inflated(b"plain", "gzip", 10) == b"plain"
    assert inflated(b"plain", "", 10) == b"plain"
