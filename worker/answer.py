"""The streaming decoder of a JSON answer: images go straight into part files, the small rest is parsed.

Runs in threads of the disk pool, for one answer in one thread at a time. A document that comes within
WHOLE_BYTES is parsed at once; a longer one is scanned as it comes, so that memory does not grow with the
images. Both ways give the same result. Bad input raises DecodeError and nothing else; only a failing disk
raises OSError.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from worker.parts import Base64Text, Broken, Part, Parts
from worker.scan import DecodeError, Scanner, check_depth
from worker.scrub import bounded, storable, without_secret

WHOLE_BYTES = 32 << 10
"""Documents up to this size are parsed in one go."""

_MAX_PROMPT_CHARS = 32_000
_BOM = b"\xef\xbb\xbf"
_KEPT_ELSEWHERE = frozenset({"data", "b64_json", "usage", "error", "type"})


@dataclass(frozen=True, slots=True)
class Item:
    """One element of an answer's `data`."""

    image: Part | Broken | None
    url: str | None
    revised_prompt: str | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A whole answer, its images on disk."""

    items: tuple[Item, ...]
    usage: dict[str, Any] | None
    facts: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    """The document, where it has an `error` in it."""


class Decoder(Protocol):
    """What the endpoint client feeds the body of a 2xx answer to."""

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises DecodeError when the answer cannot be read any more."""

    def finish(self, data: bytes = b"") -> Decoded:
        """The answer, after its last bytes."""

    def complete(self, asked: int) -> bool:
        """Whether all images asked for came, so that a stream cut short now takes nothing away."""


class AnswerDecoder:
    """Decodes an answer that is one JSON document."""

    def __init__(self, parts: Parts, *, max_bytes: int, secret: str = "") -> None:
        self._document = Document(parts, max_bytes=max_bytes, secret=secret)

    def feed(self, data: bytes) -> None:
        """See Decoder."""
        self._document.feed(data)

    def finish(self, data: bytes = b"") -> Decoded:
        """See Decoder."""
        self._document.feed(data)
        document = self._document.finish()
        return decoded(document.value, document.items)

    def complete(self, asked: int) -> bool:
        """A JSON document is whole at its end only."""
        return False


@dataclass(frozen=True, slots=True)
class Parsed:
    """A JSON object without its images, and its images."""

    value: dict[str, Any]
    items: tuple[Item, ...]


class Document:
    """One JSON object that comes in pieces, with images at `data[*].b64_json` or at `b64_json`."""

    def __init__(self, parts: Parts, *, max_bytes: int, secret: str = "") -> None:
        self._parts = parts
        self._max_bytes = max_bytes
        self._secret = secret
        self._size = 0
        self._head = bytearray()
        self._scanner: Scanner | None = None
        self._scanned: list[Part | Broken] = []

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises DecodeError."""
        self._size += len(data)
        if self._size > self._max_bytes:
            raise DecodeError("answer_too_large", f"the answer is larger than {self._max_bytes} bytes")
        if self._scanner is not None:
            self._scanner.feed(data)
            return
        self._head += data
        if self._size > WHOLE_BYTES:
            self._scanner = Scanner(self._begin_image)
            self._scanner.feed(self._text())
            self._head.clear()

    def is_only(self, *words: bytes) -> bool:
        """Whether the whole document is one of these words and blanks."""
        return self._scanner is None and self._text().strip() in words

    def _text(self) -> bytes:
        return bytes(self._head).removeprefix(_BOM)

    def finish(self) -> Parsed:
        """Parse the document, after its last byte. Raises DecodeError."""
        if self._scanner is not None:
            rest = self._scanner.finish()
            return self._parsed(_parse(rest), rest, self._scanned_image)
        body = self._text()
        try:
            value = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            value = _parse_oddly(body)
        return self._parsed(value, body, self._decode)

    def _parsed(self, value: Any, text: bytes, image_of: Callable[[str], Part | Broken]) -> Parsed:
        if not isinstance(value, dict):
            raise DecodeError("not_an_answer", "the answer is JSON, but no object")
        check_depth(value)
        value = self._hide(value, text)
        items = tuple(_item(element, image_of) for element in _elements(value))
        return Parsed(value, items)

    def _begin_image(self) -> tuple[str, Callable[[bytes], None], Callable[[], None]]:
        text = Base64Text(self._parts.begin())
        return str(len(self._scanned)), text.feed, lambda: self._scanned.append(text.finish())

    def _scanned_image(self, placeholder: str) -> Part | Broken:
        return self._scanned[int(placeholder)]

    def _decode(self, text: str) -> Part | Broken:
        image = Base64Text(self._parts.begin())
        image.feed(text.encode("utf-8", "surrogatepass"))
        return image.finish()

    def _hide(self, value: Any, text: bytes) -> Any:
        """An endpoint that echoes the key must not bring it into the ledger, nor one that writes it in escapes."""
        return without_secret(value, self._secret) if self._secret.encode() in text or b"\\" in text else value


def decoded(value: dict[str, Any], items: tuple[Item, ...]) -> Decoded:
    """The answer that one document is."""
    usage = value.get("usage")
    return Decoded(
        items=items,
        usage=bounded(usage) if isinstance(usage, dict) else None,
        facts=bounded({name: fact for name, fact in value.items() if name not in _KEPT_ELSEWHERE}),
        error=value if value.get("error") else None,
    )


def _elements(value: dict[str, Any]) -> list[Any]:
    """The elements of `data`; an event of a stream is an element itself."""
    data = value.get("data")
    elements = data if isinstance(data, list) else []
    return [*elements, value] if "b64_json" in value else elements


def _item(element: Any, image_of: Callable[[str], Part | Broken]) -> Item:
    if not isinstance(element, dict):
        return Item(None, None, None)
    text, url, prompt = (element.get(name) for name in ("b64_json", "url", "revised_prompt"))
    return Item(
        image_of(text) if isinstance(text, str) else None,
        url if isinstance(url, str) and url else None,
        storable(prompt[:_MAX_PROMPT_CHARS]) if isinstance(prompt, str) else None,
    )


def _parse(text: bytes) -> Any:
    """JSON as it comes in the wild: also with the half emoji that a cut prompt ends in, and raw line ends."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text.decode("utf-8", "replace"), strict=False, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DecodeError("malformed_answer", f"the answer is no valid JSON: {error}") from None


def _parse_oddly(body: bytes) -> Any:
    """A short body that did not parse: find out whether it is cut, no JSON at all, or merely odd."""
    scanner = Scanner(lambda: ("", lambda _text: None, lambda: None))
    scanner.feed(body)
    scanner.finish()
    return _parse(body)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
