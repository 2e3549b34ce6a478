"""JSON lines in any number: `json_text` of each value, a page at a time, at a fraction of its time.

Called where rows leave imagemill by the hundred thousand.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from jobs.report.words import json_escaped, json_text

T = TypeVar("T")

_PAGE = 500
_ENCODER = msgspec.json.Encoder(enc_hook=str)


def json_lines(values: Iterable[Any]) -> Iterator[bytes]:
    """Some lines at a time, each with its end; safe on a terminal, as `json_text` is. Holds one page in memory."""
    return map(_encoded, in_pages(values))


def in_pages(values: Iterable[T]) -> Iterator[list[T]]:
    """Some hundred at a time: a write for each line would cost more than the line."""
    left = iter(values)
    while page := list(islice(left, _PAGE)):
        yield page


def _encoded(page: list[Any]) -> bytes:
    try:
        lines = _ENCODER.encode_lines(page)
    except UnicodeEncodeError:  # half a character, in the name of a folder perhaps
        plain = (msgspec.to_builtins(value, enc_hook=str) for value in page)
        return "".join(f"{json_text(value)}\n" for value in plain).encode()
    if lines.isascii() and b"\x7f" not in lines:  # the other control characters JSON escapes by itself
        return lines
    return "\n".join(map(json_escaped, lines.decode().split("\n"))).encode()
