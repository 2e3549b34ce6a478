"""One line of JSON, read strictly: what other readers would let pass is a complaint here.

Refused: bytes that are not UTF-8, duplicate keys (the last one would win), NaN and infinities, integers over 18
digits, nesting over 20, lone surrogates and NUL (neither can be stored). Never raises anything but BadLine.
"""

import json
import math
import re
from typing import Any, NoReturn

from jobs.manifest.rows import Complaint, error, shown

MAX_DEPTH = 20
MAX_DIGITS = 18

# Possessive, so that a line of quotes and backslashes costs one pass; an unclosed string runs to the end.
_BRACKET = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class BadLine(Exception):
    """The line is not acceptable JSON; carries the complaint."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


def parse_line(line: bytes) -> Any:
    """The value on the line. Raises BadLine."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as fault:
        _refuse("bad_utf8", f"byte {fault.start + 1} of the line is not UTF-8", "save the file as UTF-8")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        _refuse("too_deep", f"values are nested more than {MAX_DEPTH} deep", "flatten the object")
    value = _decode(text)
    if "\\u" in text:
        _refuse_unstorable(text, value)
    return value


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        near = text[max(0, fault.pos - 20) : fault.pos + 20]
        message = f"not JSON: {fault.msg} at character {fault.pos + 1}"
        _refuse("bad_json", message, "write one JSON object per line", value=near)


def _refuse_unstorable(text: str, value: Any) -> None:
    if "\\u0000" in text and _NUL.search(text):
        _refuse("nul", "the text contains the character NUL", "remove \\u0000")
    if not _SURROGATE.search(text):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        _refuse("lone_surrogate", "the text contains half of a surrogate pair", "write the character whole")


def _depth(line: bytes) -> int:
    """Deepest nesting outside of strings."""
    depth = deepest = 0
    for match in _BRACKET.finditer(line):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"}", b"]"):
            depth -= 1
    return deepest


def _refuse(code: str, message: str, next: str, value: object = None) -> NoReturn:
    raise BadLine(error(code, message, next, value=value))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = shown(_first_twin(pairs))
        raise BadLine(error("duplicate_key", f"the key {twice!r} stands twice", "keep one of them", field=twice))
    return found


def _first_twin(pairs: list[tuple[str, Any]]) -> str | None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return None


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        _refuse("long_integer", f"an integer has more than {MAX_DIGITS} digits", "write it as text", value=digits)
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _refuse("not_finite", f"{digits[:40]} is too large for a number", "use a finite number", value=digits)
    return number


def _constant(word: str) -> NoReturn:
    _refuse("not_finite", f"{word} is not a JSON number", "use a finite number", value=word)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
