"""A job's result in the dialect: lines of output files, and the body of a single answer, made while they are read.

An image goes from the store through base64 to the network in pieces, so that no file and no image is ever whole in
memory. What is told of a result is a row of pieces, each of them bytes or an image; writing reads the image, and
measuring only counts it.
"""

from binascii import b2a_base64
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from jobs.api.openai.errors import type_of
from jobs.api.service import Service
from jobs.ledger.results import Result, ResultImage, read_results
from jobs.states import JobState

_ROWS = 200
_PIECE_BYTES = 3 * 64 * 1024
"""A multiple of three, so that base64 of the pieces is base64 of the whole."""
_TOLD_FACTS = ("background", "output_format", "quality", "size")
OUTPUT = frozenset({JobState.SUCCEEDED})
ERRORS = frozenset({JobState.FAILED, JobState.REFUSED, JobState.HELD, JobState.CANCELLED})

Piece: TypeAlias = bytes | ResultImage


class ImageGone(Exception):
    """An image's file is not what the ledger says: the answer is cut, and the client sees that it is."""


def file_pieces(service: Service, batch_id: str, states: frozenset[JobState], *, as_urls: bool) -> Iterator[Piece]:
    """The lines of an output file or an error file, in manifest order."""
    row = 0
    while True:
        with service.ledger.read() as tx:
            results = read_results(tx, batch_id, states, row, _ROWS)
        if not results:
            return
        for result in results:
            yield from _line(batch_id, result, as_urls=as_urls)
        row = results[-1].row


def body_pieces(result: Result, *, as_urls: bool) -> Iterator[Piece]:
    """The answer of the images endpoint, as its own: created, what was drawn, data, usage."""
    facts = {name: result.facts[name] for name in _TOLD_FACTS if result.facts.get(name) is not None}
    yield _open_object({"created": _created(result)} | facts) + b',"data":['
    for number, image in enumerate(result.images):
        yield b"," if number else b""
        revised = {"revised_prompt": image.revised_prompt} if image.revised_prompt is not None else {}
        if as_urls:
            yield msgspec.json.encode({"url": url_of(image)} | revised)
            continue
        yield b'{"b64_json":"'
        yield image
        yield b'"' + (b"," + msgspec.json.encode(revised)[1:] if revised else b"}")
    yield b"]" + (b',"usage":' + msgspec.json.encode(result.usage) if result.usage else b"") + b"}"


def error_body(result: Result) -> dict[str, Any]:
    """The endpoint's own error, in the words that the ledger kept of it."""
    kind = type_of(result.http_status or 500)
    return {"error": {"message": result.error_message, "type": kind, "param": None, "code": result.error_kind}}


def url_of(image: ResultImage) -> str:
    """Relative to this server, which does not know what a proxy in front of it is called."""
    return f"/api/images/{image.attempt_id}/{image.index}"


def wants_urls(result: Result) -> bool:
    return result.request.get("response_format") == "url"


def written(service: Service, pieces: Iterator[Piece]) -> Iterator[bytes]:
    """The bytes. Raises ImageGone in the middle where the store lacks what the ledger has."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from _base64(service, piece)


def measured(pieces: Iterator[Piece]) -> int:
    """How many bytes `written` would give."""
    return sum(len(piece) if isinstance(piece, bytes) else 4 * -(-piece.bytes // 3) for piece in pieces)


def _line(batch_id: str, result: Result, *, as_urls: bool) -> Iterator[Piece]:
    name = result.attempt_id or f"{batch_id}_{result.row}"
    head = {"id": f"batch_req_{name}", "custom_id": result.custom_id}
    if result.state in OUTPUT:
        answer = {"status_code": 200, "request_id": result.request_id or name}
        yield _open_object(head) + b',"response":' + _open_object(answer) + b',"body":'
        yield from body_pieces(result, as_urls=as_urls or wants_urls(result))
        yield b'},"error":null}\n'
    else:
        yield msgspec.json.encode(head | _failure(result, name)) + b"\n"


def _failure(result: Result, name: str) -> dict[str, Any]:
    if result.state is JobState.CANCELLED:
        told = "This request was not executed before the batch was cancelled."
        return {"response": None, "error": {"code": "batch_cancelled", "message": told}}
    if result.state is JobState.HELD:
        return {"response": None, "error": {"code": "outcome_unknown", "message": doubt(result)}}
    if result.http_status is None or result.http_status < 400:
        return {"response": None, "error": {"code": result.error_kind, "message": result.error_message}}
    answer = {
        "status_code": result.http_status,
        "request_id": result.request_id or name,
        "body": error_body(result),
    }
    return {"response": answer, "error": None}


def doubt(result: Result) -> str:
    """What is to be known about a held job."""
    return (
        "The call was sent and its answer was not seen: it may have been paid for, and is not sent again by itself "
        f"({result.error_kind}: {result.error_message}). `imagemill resolve` decides it, `imagemill retry --held` "
        "sends it again."
    )


def _created(result: Result) -> int:
    created = result.facts.get("created")
    return created if isinstance(created, int) else (result.ended_at or 0) // 1000


def _open_object(value: dict[str, Any]) -> bytes:
    """The JSON object without its end."""
    return msgspec.json.encode(value)[:-1]


def _base64(service: Service, image: ResultImage) -> Iterator[bytes]:
    left = image.bytes
    try:
        with service.store.path_of(image.path).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                left -= len(piece)
                yield b2a_base64(piece, newline=False)
    except OSError as error:
        raise ImageGone(f"{image.path}: {error.strerror}") from error
    if left:
        raise ImageGone(f"{image.path} has {image.bytes - left:,} bytes, recorded are {image.bytes:,}")
