"""Bodies on their way to the disk: a raw file, or the one file of a multipart form, in pieces, never in memory.

The guard caps bytes and time before this sees them. A file received here lives as long as the `async with`; whoever
wants it longer moves it away.
"""

import hashlib
import logging
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from jobs.api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a bad form is answered, not logged

_PIECE_BYTES = 1024 * 1024
_MOST_FIELD_BYTES = 64 * 1024
_MOST_FIELDS = 100
_MOST_NAME_CHARS = 200


@dataclass(slots=True)
class Upload:
    """A body on the disk. `fields` are the other parts of a form, in order; `name` is the client's for the file."""

    path: Path
    media_type: str
    name: str | None = None
    bytes: int = 0
    sha256: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)


@asynccontextmanager
async def received(request: Request, folder: Path) -> AsyncIterator[Upload]:
    """The request's body as a file in `folder`. Raises Problem: 400 for a form that is none, 413, 408."""
    media_type, options = parse_options_header(request.headers.get("content-type"))
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - made once, then only looked at
    upload = Upload(folder / f"{uuid.uuid4().hex}.upload", media_type.decode("latin-1").lower())
    try:
        with upload.path.open("xb", buffering=0) as file:
            sink = _Sink(file, upload)
            if upload.media_type == "multipart/form-data":
                await _read_form(request, options.get(b"boundary", b""), sink)
            else:
                upload.name = _plain_name(_disposition(request).get(b"filename", b""))
                async for piece in _pieces(request):
                    await sink.take(piece)
            await sink.end()
        yield upload
    finally:
        upload.path.unlink(missing_ok=True)


def sweep_uploads(folder: Path) -> None:
    """Remove what a killed server left; called before a server starts."""
    for path in folder.glob("*.upload"):
        path.unlink(missing_ok=True)


class _Sink:
    """Writes and hashes in pieces of a mebibyte, in a thread."""

    def __init__(self, file: FileIO, upload: Upload) -> None:
        self._file = file
        self._upload = upload
        self._held = bytearray()
        self._hash = hashlib.sha256()

    @property
    def upload(self) -> Upload:
        return self._upload

    async def take(self, piece: bytes) -> None:
        self._held += piece
        if len(self._held) >= _PIECE_BYTES:
            await self._flush()

    async def end(self) -> None:
        await self._flush()
        self._upload.sha256 = self._hash.hexdigest()

    async def _flush(self) -> None:
        held, self._held = self._held, bytearray()
        await run_in_threadpool(self._write, bytes(held))

    def _write(self, held: bytes) -> None:
        self._hash.update(held)
        self._upload.bytes += len(held)
        view = memoryview(held)
        while view:
            view = view[self._file.write(view) :]


class _Form:
    """The callbacks of the parser: the first part with a file name is the file, all others are short texts."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.file = bytearray()
        self._header = (bytearray(), bytearray())
        self._disposition: dict[bytes, bytes] = {}
        self._text: bytearray | None = None

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.on_part_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_part_data": self.on_part_data,
            "on_part_end": self.on_part_end,
        }

    def on_part_begin(self) -> None:
        self._disposition = {}
        self._text = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = parse_options_header(value.decode("latin-1"))[1]
        self._header = (bytearray(), bytearray())

    def on_headers_finished(self) -> None:
        if b"filename" not in self._disposition:
            self._text = bytearray()
        elif self.upload.name is not None:
            raise Problem(400, "bad_form", "the form has two files", next_="send one manifest at a time")
        else:
            self.upload.name = _plain_name(self._disposition[b"filename"]) or ""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            self.file += data[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > _MOST_FIELD_BYTES or len(self.upload.fields) >= _MOST_FIELDS:
            raise Problem(
                413, "too_large", f"a form has at most {_MOST_FIELDS} fields of {_MOST_FIELD_BYTES} bytes"
            )

    def on_part_end(self) -> None:
        if self._text is not None:
            name = self._disposition.get(b"name", b"").decode("utf-8", "replace")
            self.upload.fields.append((name, self._text.decode("utf-8", "replace")))


async def _read_form(request: Request, boundary: bytes, sink: _Sink) -> None:
    form = _Form(sink.upload)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for piece in _pieces(request):
            parser.write(piece)
            await sink.take(bytes(form.file))
            form.file.clear()
        parser.finalize()
    except FormParserError as error:
        raise Problem(400, "bad_form", f"the form cannot be read: {error}", next_="send it as multipart") from None
    if sink.upload.name is None:
        raise Problem(400, "no_file", "the form holds no file", next_="-F manifest=@products.csv")


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise Problem(400, "cut", "the body ended early", next_="send it again") from None


def _disposition(request: Request) -> dict[bytes, bytes]:
    return parse_options_header(request.headers.get("content-disposition"))[1]


def _plain_name(name: bytes) -> str | None:
    """The last part of a client's file name, without what a terminal or a path would obey; only ever shown."""
    last = re.split(r"[/\\]", name.decode("utf-8", "replace"))[-1]
    return "".join(filter(str.isprintable, last))[:_MOST_NAME_CHARS].strip(". ") or None
