"""Undoes the compression of answers that come compressed although none was asked for.

Stands between the endpoint client and a decoder; the decoder's own caps bound what a small body may grow to.
"""

import zlib

from worker.answer import Decoded, Decoder
from worker.scan import DecodeError

_PIECE_BYTES = 256 << 10
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class InflatingDecoder:
    """A decoder of compressed bytes in front of another."""

    def __init__(self, encoding: str, decoder: Decoder) -> None:
        if encoding not in _WINDOW:
            raise DecodeError(
                "not_an_answer", f"the answer is compressed as {encoding[:40]!r}, which nobody asked for"
            )
        self._inflate = zlib.decompressobj(_WINDOW[encoding])
        self._decoder = decoder

    def feed(self, data: bytes) -> None:
        """See Decoder."""
        while data:
            try:
                piece = self._inflate.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise DecodeError("malformed_answer", f"the answer cannot be decompressed: {error}") from None
            self._decoder.feed(piece)
            data = self._inflate.unconsumed_tail if not self._inflate.eof else b""

    def finish(self, data: bytes = b"") -> Decoded:
        """See Decoder."""
        self.feed(data)
        if not self._inflate.eof:
            raise DecodeError("answer_cut", "the compressed answer ends in the middle")
        return self._decoder.finish()

    def complete(self, asked: int) -> bool:
        """See Decoder."""
        return self._decoder.complete(asked)


def inflated(data: bytes, encoding: str, limit: int) -> bytes:
    """At most `limit` bytes of what `data` holds; as it is, where that cannot be told."""
    if encoding not in _WINDOW:
        return data
    try:
        return zlib.decompressobj(_WINDOW[encoding]).decompress(data, limit)
    except zlib.error:
        return data
