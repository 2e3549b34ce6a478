"""The scanner finds image strings wherever the document is cut, and hands back the rest of it."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.scan import MAX_DEPTH, DecodeError, Scanner, check_depth

DOCUMENT: dict[str, Any] = {
    "created": 1,
    "note": 'quotes " and \\ and / and b64_json',
    "b64_json": "dG9w",
    "data": [
        {"b64_json": "QUJD/+==", "revised_prompt": 'a "cat" \\', "url": None},
        {"b64_json": None},
        {"deep": {"b64_json": "bm90IHRoaXM="}},
        {"b64_json": "é\u20ac\U0001f408"},
    ],
    "usage": {"data": [{"b64_json": "bm9y"}]},
}
IMAGES = ["dG9w", "QUJD/+==", "é\u20ac\U0001f408"]


def scan(pieces: list[bytes]) -> tuple[list[str], Any]:
    images: list[bytearray] = []

    def begin() -> Any:
        images.append(bytearray())
        return f"#{len(images) - 1}", images[-1].extend, lambda: None

    scanner = Scanner(begin)
    for piece in pieces:
        scanner.feed(piece)
    rest = json.loads(scanner.finish())
    return [joined(image.decode("utf-8", "surrogatepass")) for image in images], rest


def joined(text: str) -> str:
    """Escaped pairs of surrogates, which base64 has none of, as the characters they are."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def escaped(document: Any, how: str) -> bytes:
    match how:
        case "ascii":
            return json.dumps(document).encode()
        case "utf-8":
            return json.dumps(document, ensure_ascii=False, indent=1).encode()
        case "slashes":
            return json.dumps(document).replace("/", "\\/").encode()
    return json.dumps(document).replace("=", "\\u003d").replace("b64_json", "b64\\u005fjson").encode()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.sampled_from(["ascii", "utf-8", "slashes", "unicode"]), st.lists(st.integers(0, 2000), max_size=8))
def test_any_split_of_a_document_gives_the_same_images_and_the_same_rest(how: str, places: list[int]) -> None:
    images, rest = scan(cut(escaped(DOCUMENT, how), places))
    assert sorted(images) == sorted(IMAGES)
    assert rest["note"] == DOCUMENT["note"]
    assert rest["usage"] == DOCUMENT["usage"]
    assert rest["data"][0] == {**DOCUMENT["data"][0], "b64_json": "#1"}


@pytest.mark.parametrize("how", ["ascii", "slashes", "unicode"])
def test_a_document_may_come_byte_by_byte(how: str) -> None:
    data = escaped(DOCUMENT, how)
    assert scan([data[i : i + 1] for i in range(len(data))]) == scan([data])


@given(st.text(), st.lists(st.integers(0, 500), max_size=4))
def test_an_image_string_is_what_the_json_parser_reads(text: str, places: list[int]) -> None:
    data = json.dumps({"data": [{"b64_json": text}]}).encode()
    images, _ = scan(cut(data, places))
    assert images == [joined(text)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "answer_cut"),
        (b"   ", "answer_cut"),
        (b'{"data":[{"b64_json":"AAAA', "answer_cut"),
        (b'{"data":[{"b64_json":"AAAA"}]', "answer_cut"),
        (b'{"a":"\\', "answer_cut"),
        (b"<html>", "not_an_answer"),
        (b"[]", "not_an_answer"),
        (b'{"a":1}]', "malformed_answer"),
        (b'{"a":[1}', "malformed_answer"),
        (b'{"b64_json":"\\q"}', "malformed_answer"),
        (b'{"b64_json":"\\u12G4"}', "malformed_answer"),
        (b'{"a":' * (MAX_DEPTH + 1), "malformed_answer"),
        (b'{"a":"' + b"x" * (1 << 21) + b'"}', "answer_too_large"),
    ],
)
def test_what_is_no_whole_object_is_named(data: bytes, kind: str) -> None:
    with pytest.raises(DecodeError) as error:
        scan([data])
    assert error.value.kind == kind


def test_documents_parsed_whole_keep_the_same_depth() -> None:
    def nested(levels: int) -> Any:
        return {"a": nested(levels - 1)} if levels else 1

    check_depth(nested(MAX_DEPTH))
    assert scan([json.dumps(nested(MAX_DEPTH)).encode()])[1] == nested(MAX_DEPTH)
    with pytest.raises(DecodeError):
        check_depth(nested(MAX_DEPTH + 1))


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_no_bytes_raise_anything_but_decode_error(pieces: list[bytes]) -> None:
    with suppress(DecodeError, json.JSONDecodeError, UnicodeDecodeError):  # the last two by `scan` here
        scan([b'{"data":[{"b64_json":"', *pieces])
