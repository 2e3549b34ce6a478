"""The way into a manifest: recognise the format by its content, read it as a stream, keep ids unique.

Check and submit call `read_rows`. A row that cannot run is a Problem and reading goes on; a file that is no
manifest at all is a ManifestError, and nothing else is ever raised.
"""

import codecs
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from jobs.errors import ManifestError
from jobs.manifest.ids import UsedIds
from jobs.manifest.jsonl import read_jsonl
from jobs.manifest.options import ManifestOptions
from jobs.manifest.rows import Problem, Row, error, place_in
from jobs.manifest.sheet import read_sheet

_HEAD_BYTES = 1 << 16
# Python counts these among its encodings, but they are escapes and notations: no sheet is written in them.
_NO_CHARACTER_SETS = frozenset({"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"})
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NOT_TEXT = (
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or a ZIP file; in Excel use Save As, CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls); in Excel use Save As, CSV UTF-8"),
    (b"PAR1", "a Parquet file; write it out as JSONL or CSV"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"%PDF", "a PDF; hand in JSONL or CSV"),
)


def read_rows(path: Path, options: ManifestOptions) -> Iterator[Row | Problem]:
    """Rows and problems of the file in file order, in constant memory but for some 30 bytes per row.

    Raises ManifestError (a UsageError) when the file as a whole cannot be read.
    """
    with _opened(path) as file:
        yield from read_stream(file, options)


def read_stream(file: BinaryIO, options: ManifestOptions) -> Iterator[Row | Problem]:
    """The same for bytes that are already open; they must be buffered and seekable."""
    entries = _unique(_entries(file, options))
    if options.limit is None:
        return entries
    most = options.limit
    return takewhile(lambda entry: entry.row is None or entry.row <= most, entries)


def manifest_digest(path: Path) -> tuple[str, int]:
    """SHA-256 in hex, and the size in bytes: which file this is."""
    with _opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as fault:
        raise ManifestError(f"manifest {path} cannot be read: {fault.strerror}") from fault


def _entries(file: BinaryIO, options: ManifestOptions) -> Iterator[Row | Problem]:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    if _is_json(head, encoding):
        yield from read_jsonl(file, options)
    else:
        yield from _read_text(file, encoding or options.encoding, options)


def _is_json(head: bytes, encoding: str | None) -> bool:
    """JSON lines, as opposed to CSV. Raises ManifestError for what is neither."""
    for magic, what in _NOT_TEXT:
        if head.startswith(magic):
            raise ManifestError(f"this is {what}")
    text = head.decode(encoding or "latin-1", "replace")
    if encoding in (None, "utf-8-sig") and "\0" in text.partition("\n")[0]:
        raise ManifestError("this is not text, or UTF-16 without its mark; save it as UTF-8")
    lines = [line.lstrip() for line in text.split("\n") if line.strip()][:2]
    if not lines:
        raise ManifestError("the file is empty")
    if re.match(r"\s*\[\s*(\{|$)", text):
        raise ManifestError("this is a JSON array; write one object per line instead (JSONL)")
    is_json = lines[0].startswith("{") or any(re.match(r'\{\s*"', line) for line in lines)
    if is_json and encoding not in (None, "utf-8-sig"):
        raise ManifestError(f"JSON lines must be UTF-8, this file is {encoding.upper()}")
    return is_json


def _read_text(file: BinaryIO, encoding: str | None, options: ManifestOptions) -> Iterator[Row | Problem]:
    try:
        if encoding and codecs.lookup(encoding).name in _NO_CHARACTER_SETS:
            raise LookupError(encoding)
        text = io.TextIOWrapper(file, encoding=encoding or "utf-8", errors="strict", newline="")
    except LookupError as fault:
        raise ManifestError(f"--encoding {encoding}: there is no such text encoding; try cp1252") from fault
    try:
        yield from read_sheet(text, options)
    except UnicodeError as fault:
        if encoding is None:
            raise ManifestError(
                "this is not UTF-8; it looks like cp1252, run again with --encoding cp1252"
            ) from fault
        raise ManifestError(f"this cannot be read as {encoding}: {fault}") from fault
    finally:
        text.detach()


def _unique(entries: Iterator[Row | Problem]) -> Iterator[Row | Problem]:
    used = UsedIds()
    for entry in entries:
        first = used.first_line(entry.custom_id, entry.line) if isinstance(entry, Row) else None
        if isinstance(entry, Row) and first is not None:
            message = f"the id {entry.custom_id!r} was used on line {first}"
            complaint = error("duplicate_id", message, "make ids unique", field="custom_id", value=entry.custom_id)
            yield place_in(entry, complaint)
        else:
            yield entry
