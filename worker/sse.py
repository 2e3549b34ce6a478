"""Decodes an answer that comes as server-sent events; the face is that of the JSON decoder.

Runs in threads of the disk pool. Each `completed` event is one image; partial images are counted and
dropped. A stream that ends without a `completed` and without an error raises DecodeError `answer_cut`.
"""

from typing import Any

from worker.answer import Decoded, Document, Item, Parsed, decoded
from worker.parts import Parts
from worker.scan import DecodeError

_MAX_LINE_BYTES = 64 << 10
_BOM = b"\xef\xbb\xbf"


class EventDecoder:
    """Decodes one stream of image events."""

    def __init__(self, parts: Parts, *, max_bytes: int, secret: str = "") -> None:
        self._parts = parts
        self._secret = secret
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._in_data = False
        self._after_return = False
        self._name = ""
        self._document: Document | None = None
        self._completed: list[Decoded] = []
        self._error: dict[str, Any] | None = None
        self._trouble: DecodeError | None = None
        self._partials = 0

    def feed(self, data: bytes) -> None:
        """See Decoder."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise DecodeError("answer_too_large", f"the answer is larger than {self._max_bytes} bytes")
        position = 0
        while position < len(data):
            position = self._feed_line(data, position)

    def finish(self, data: bytes = b"") -> Decoded:
        """See Decoder."""
        self.feed(data)
        self._end_event()
        if not self._completed and self._error is None:
            raise self._trouble or DecodeError("answer_cut", "the stream ends without a completed image")
        return self._decoded()

    def complete(self, asked: int) -> bool:
        """Whether the stream has said all that matters, however it ends."""
        return sum(len(event.items) for event in self._completed) >= asked

    def _decoded(self) -> Decoded:
        facts: dict[str, Any] = {}
        usage: dict[str, Any] | None = None
        items: list[Item] = []
        for event in self._completed:
            facts |= event.facts
            usage = _added(usage, event.usage)
            items += event.items
        if self._partials:
            facts["partial_images"] = self._partials
        return Decoded(tuple(items), usage, facts, self._error)

    def _feed_line(self, data: bytes, position: int) -> int:
        """Take what `data` has of the current line; the position after it."""
        if self._after_return:
            self._after_return = False
            if data[position] == ord("\n"):
                return position + 1
        end = _line_end(data, position)
        self._take(data[position : len(data) if end < 0 else end])
        if end < 0:
            return len(data)
        self._after_return = data[end] == ord("\r")
        self._end_line()
        return end + 1

    def _take(self, piece: bytes) -> None:
        """A piece of the current line: of its name and value, or, once these are known, of its data."""
        if not self._in_data:
            self._line += piece
            if len(self._line) > len("data: ") and self._line.startswith(b"data:"):
                self._begin_data()
            elif len(self._line) > _MAX_LINE_BYTES:
                raise DecodeError("not_an_answer", "the stream has a line that no event has")
            return
        self._feed_document(piece)

    def _begin_data(self) -> None:
        text = bytes(self._line).removeprefix(b"data:").removeprefix(b" ")
        self._line.clear()
        self._in_data = True
        if self._document is None:
            self._document = Document(self._parts, max_bytes=self._max_bytes, secret=self._secret)
        else:
            self._feed_document(b"\n")
        self._feed_document(text)

    def _feed_document(self, piece: bytes) -> None:
        """Partial images are passed over unread, once their name told that they are."""
        if self._document is None or self._trouble or _is_partial(self._name):
            return
        try:
            self._document.feed(piece)
        except DecodeError as error:
            self._trouble = error

    def _end_line(self) -> None:
        if self._in_data:
            self._in_data = False
            return
        line = bytes(self._line).removeprefix(_BOM)
        self._line.clear()
        if not line:
            self._end_event()
        elif line.startswith(b"data:"):
            self._line += line
            self._begin_data()
            self._in_data = False
        elif line.startswith(b"event:"):
            self._name = line.removeprefix(b"event:").strip().decode("utf-8", "replace")

    def _end_event(self) -> None:
        document, name = self._document, self._name
        self._document, self._name = None, ""
        if document is None or self._trouble:
            return
        if _is_partial(name):
            self._partials += 1
            return
        try:
            self._book(document, name)
        except DecodeError as error:
            self._trouble = error

    def _book(self, document: Document, name: str) -> None:
        if document.is_only(b"", b"[DONE]"):
            return
        event = document.finish()
        name = str(event.value.get("type") or name)
        if _is_partial(name):
            self._partials += 1
        elif event.value.get("error"):
            self._error = event.value
        elif name.endswith(".completed") or event.items:
            self._completed.append(_completed(event))


def _completed(event: Parsed) -> Decoded:
    """An event that ends an image counts as one even if it brings none."""
    items = event.items or (Item(None, None, None),)
    return decoded(event.value, items)


def _is_partial(name: str) -> bool:
    return name.endswith(".partial_image")


def _line_end(data: bytes, position: int) -> int:
    """Where the next line end of either kind stands; -1 if there is none."""
    feed = data.find(b"\n", position)
    turn = data.find(b"\r", position, len(data) if feed < 0 else feed)
    return feed if turn < 0 else turn


def _added(one: Any, other: Any) -> Any:
    """The sum of two usage objects, number by number; what cannot be added is taken from the later one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _added(one.get(name), other.get(name)) for name in one | other}
    if type(one) is int and type(other) is int:
        return one + other
    return one if other is None else other
