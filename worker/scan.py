"""Finds the image strings in a JSON document that comes in pieces, and keeps the rest of it.

The document decoder opens one Scanner per long document. A string at `data[*].b64_json` or at `b64_json` is
handed on as it comes, its JSON escapes undone, and a placeholder takes its place in the rest; only the
structure is followed here, the rest is judged by the JSON parser that reads it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_REST_BYTES = 1 << 20
MAX_DEPTH = 32

_MARK = re.compile(rb'["{}\[\]:,]')
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"/": b"/", b"\\": b"\\", b'"': b'"'}
_BLANK = b" \t\r\n"
_BACKSLASH = ord("\\")

ImageString = tuple[str, Callable[[bytes], None], Callable[[], None]]
"""The placeholder, what takes the text, what is told of its end."""


class DecodeError(Exception):
    """An answer that cannot be read. `kind` is the stable word for reports:

    answer_cut, not_an_answer, malformed_answer, answer_too_large.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class _Level:
    """One open object or array."""

    is_object: bool
    key: str = ""
    awaits_key: bool = False


class Scanner:
    """Follows the structure of one JSON document. `begin_image` is called at each image string."""

    def __init__(self, begin_image: Callable[[], ImageString]) -> None:
        self._begin_image = begin_image
        self._step = self._start
        self._held = b""
        self._rest = bytearray()
        self._levels: list[_Level] = []
        self._string_from = 0
        self._take_text: Callable[[bytes], None] = lambda _text: None
        self._end_text: Callable[[], None] = lambda: None

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises DecodeError."""
        if self._held:
            data, self._held = self._held + data, b""
        position = 0
        while position < len(data):
            position = self._step(data, position)
        if len(self._rest) > MAX_REST_BYTES:
            raise DecodeError("answer_too_large", f"the answer has {MAX_REST_BYTES} bytes beside its images")

    def finish(self) -> bytes:
        """The rest: the document with placeholders for its images. Raises DecodeError."""
        if self._step != self._structure or self._levels:
            raise DecodeError("answer_cut", "the answer ends in the middle")
        return bytes(self._rest)

    def _start(self, data: bytes, position: int) -> int:
        """Before the document's first brace."""
        text = data[position:].lstrip(_BLANK)
        if text and not text.startswith(b"{"):
            raise DecodeError("not_an_answer", f"the answer is no JSON object, it begins {text[:60]!r}")
        if text:
            self._step = self._structure
        return len(data) - len(text)

    def _structure(self, data: bytes, position: int) -> int:
        """Outside strings."""
        mark = _MARK.search(data, position)
        end = mark.end() if mark else len(data)
        self._rest += data[position:end]
        if mark:
            self._pass(mark[0])
        return end

    def _pass(self, mark: bytes) -> None:
        match mark:
            case b"{" | b"[":
                self._open(is_object=mark == b"{")
            case b"}" | b"]":
                self._close(is_object=mark == b"}")
            case b'"':
                self._open_string()
            case _ if self._levels:
                top = self._levels[-1]
                top.awaits_key = top.is_object and mark == b","

    def _open(self, *, is_object: bool) -> None:
        if len(self._levels) >= MAX_DEPTH:
            raise _too_deep()
        self._levels.append(_Level(is_object, awaits_key=is_object))

    def _close(self, *, is_object: bool) -> None:
        if not self._levels or self._levels.pop().is_object != is_object:
            raise DecodeError("malformed_answer", "the answer is no valid JSON: its brackets do not match")

    def _open_string(self) -> None:
        self._string_from = len(self._rest)
        if not self._at_image():
            self._step = self._string
            return
        placeholder, self._take_text, self._end_text = self._begin_image()
        self._rest += placeholder.encode()
        self._step = self._image

    def _at_image(self) -> bool:
        match self._levels:
            case [_Level(True, "b64_json", False)]:
                return True
            case [_Level(True, "data", False), _Level(False), _Level(True, "b64_json", False)]:
                return True
        return False

    def _string(self, data: bytes, position: int) -> int:
        """Inside a string that is kept: a key or a small value."""
        end = _string_end(data, position)
        if end < 0:
            end = _escapes_end(data, position)
            self._rest += data[position:end]
            self._held = data[end:]
            return len(data)
        self._rest += data[position : end + 1]
        self._end_string()
        return end + 1

    def _end_string(self) -> None:
        if self._levels and self._levels[-1].awaits_key:
            self._levels[-1].key = _key(bytes(self._rest[self._string_from : -1]))
        self._step = self._structure

    def _image(self, data: bytes, position: int) -> int:
        """Inside the string of an image."""
        end = _string_end(data, position)
        if end < 0:
            end = _escapes_end(data, position)
            self._take_text(_unescaped(data[position:end]))
            self._held = data[end:]
            return len(data)
        self._take_text(_unescaped(data[position:end]))
        self._end_text()
        self._rest += b'"'
        self._step = self._structure
        return end + 1


def check_depth(value: Any, depth: int = 1) -> None:
    """The bound that the scanner keeps, for a document that was parsed whole. Raises DecodeError."""
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        raise _too_deep()
    for inner in value.values() if isinstance(value, dict) else value:
        check_depth(inner, depth + 1)


def _too_deep() -> DecodeError:
    return DecodeError("malformed_answer", f"the answer nests deeper than {MAX_DEPTH} levels")


def _string_end(data: bytes, start: int) -> int:
    """Where the string's closing quote stands; -1 if not in `data`. `start` is at no escaped character."""
    position = start
    while (end := data.find(b'"', position)) >= 0:
        before = end
        while before > start and data[before - 1] == _BACKSLASH:
            before -= 1
        if (end - before) % 2 == 0:
            return end
        position = end + 1
    return -1


def _escapes_end(data: bytes, start: int) -> int:
    """The end of `data`, or where the escape begins that is not whole in it."""
    last = data.rfind(b"\\", max(start, len(data) - 6))
    if last < 0:
        return len(data)
    run = last + 1 - start - len(data[start : last + 1].rstrip(b"\\"))
    if run % 2 == 0:
        return len(data)
    length = 6 if data[last + 1 : last + 2] == b"u" else 2
    return last if last + length > len(data) else len(data)


def _unescaped(text: bytes) -> bytes:
    """The content of a JSON string as UTF-8. Raises DecodeError at what is no escape."""
    if b"\\" not in text:
        return text
    if b"\\\\" not in text:
        text = text.replace(b"\\/", b"/")  # what some encoders do to each slash, so worth a quick way
    return _ESCAPE.sub(_character, text) if b"\\" in text else text


def _character(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return chr(int(found[1], 16)).encode("utf-8", "surrogatepass")
    if found[2] not in _ESCAPES:
        raise DecodeError("malformed_answer", "the answer is no valid JSON: a string has an unknown escape")
    return _ESCAPES[found[2]]


def _key(raw: bytes) -> str:
    """A key as the JSON parser will read it."""
    try:
        return str(json.loads(b'"%b"' % raw)) if b"\\" in raw else raw.decode("utf-8", "replace")
    except ValueError:
        return ""
