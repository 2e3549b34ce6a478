"""Event streams become the same as whole answers: completed images, usage, errors."""

import json
import tempfile
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import USAGE, noise, picture
from worker import answer
from worker.answer import Decoded
from worker.parts import Part, Parts
from worker.scan import DecodeError
from worker.sse import EventDecoder


def event(kind: str, image: bytes | None = None, *, name: bool = True, **more: Any) -> bytes:
    coded = {"b64_json": b64encode(image).decode()} if image is not None else {}
    data = json.dumps({**coded, **more, "type": f"image_generation.{kind}"}).encode()
    return (f"event: image_generation.{kind}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


def decode(folder: Path, pieces: list[bytes], max_bytes: int = 64 << 20) -> tuple[Decoded, EventDecoder]:
    parts = Parts(lambda name: folder / name, "a1")
    decoder = EventDecoder(parts, max_bytes=max_bytes)
    try:
        for piece in pieces:
            decoder.feed(piece)
        return decoder.finish(), decoder
    except DecodeError:
        parts.discard()
        raise


def images(folder: Path, decoded: Decoded) -> list[bytes | None]:
    return [
        (folder / item.image.name).read_bytes() if isinstance(item.image, Part) else None for item in decoded.items
    ]


STREAM = (
    b": keep-alive\n\n"
    + event("partial_image", picture(shade=1), partial_image_index=0)
    + event("partial_image", picture(shade=2), name=False, partial_image_index=1)
    + event("completed", picture(), usage=USAGE, size="1024x1024", created_at=5)
    + b"data: [DONE]\n\n"
)


def test_the_completed_image_is_kept_and_partial_ones_are_counted(tmp_path: Path) -> None:
    decoded, decoder = decode(tmp_path, [STREAM])
    assert images(tmp_path, decoded) == [picture()]
    assert decoded.usage == USAGE
    assert decoded.facts == {"size": "1024x1024", "created_at": 5, "partial_images": 2}
    assert decoder.complete(1)
    assert not decoder.complete(2)


@settings(deadline=None)
@given(
    st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, len(STREAM) * 2), max_size=8), st.booleans()
)
def test_any_split_and_any_line_end_gives_the_same(newline: bytes, cuts: list[int], scanned: bool) -> None:
    stream = b"\xef\xbb\xbf" + STREAM.replace(b"\n", newline)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        if scanned:
            patch.setattr(answer, "WHOLE_BYTES", 20)
        decoded, _ = decode(Path(name), pieces)
        assert images(Path(name), decoded) == [picture()]
        assert decoded.usage == USAGE
        assert decoded.facts["partial_images"] == 2


def test_large_images_stream_through(tmp_path: Path) -> None:
    stream = event("partial_image", noise(500)) + event("completed", noise(), usage=USAGE)
    decoded, _ = decode(tmp_path, [stream[start : start + 65_537] for start in range(0, len(stream), 65_537)])
    assert images(tmp_path, decoded) == [noise()]


def test_data_over_several_lines_is_one_document(tmp_path: Path) -> None:
    lines = json.dumps({"type": "image_generation.completed", "b64_json": b64encode(picture()).decode()}, indent=1)
    stream = "".join(f"data:{line}\n" for line in lines.splitlines()) + "\n"
    assert images(tmp_path, decode(tmp_path, [stream.encode()])[0]) == [picture()]


def test_each_completed_event_is_an_image_and_usage_adds_up(tmp_path: Path) -> None:
    stream = event("completed", picture(), usage=USAGE) + event("completed", picture("webp"), usage=USAGE)
    decoded, _ = decode(tmp_path, [stream])
    assert images(tmp_path, decoded) == [picture(), picture("webp")]
    assert decoded.usage == {
        "input_tokens": 30,
        "input_tokens_details": {"text_tokens": 30, "image_tokens": 0},
        "output_tokens": 544,
        "total_tokens": 574,
    }


def test_usage_that_comes_once_is_taken_as_it_is(tmp_path: Path) -> None:
    stream = event("completed", picture()) + event("completed", picture("webp"), usage=USAGE)
    assert decode(tmp_path, [stream])[0].usage == USAGE


def test_an_error_event_is_handed_on(tmp_path: Path) -> None:
    stream = (
        event("partial_image", picture()) + b'event: error\ndata: {"error": {"code": "moderation_blocked"}}\n\n'
    )
    decoded, _ = decode(tmp_path, [stream])
    assert decoded.items == ()
    assert decoded.error == {"error": {"code": "moderation_blocked"}}


def test_a_completed_event_without_an_image_is_an_empty_item(tmp_path: Path) -> None:
    decoded, _ = decode(tmp_path, [event("completed", usage=USAGE)])
    assert [item.image for item in decoded.items] == [None]
    assert decoded.usage == USAGE


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"", "answer_cut"),
        (event("partial_image", picture()), "answer_cut"),
        (event("completed", picture())[:-40], "answer_cut"),
        (b"data: [DONE]\n\n", "answer_cut"),
        (b'data: {"type": "image_generation.completed" 7}\n\n', "malformed_answer"),
        (b"data: <html>\n\n", "not_an_answer"),
        (b"x" * 100_000, "not_an_answer"),
        (b"data: " + b" " * 3000, "answer_too_large"),
    ],
)
def test_a_stream_without_a_completed_image_is_a_decode_error(tmp_path: Path, stream: bytes, kind: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode(tmp_path, [stream], max_bytes=2000 if kind == "answer_too_large" else 1 << 20)
    assert error.value.kind == kind


def test_the_last_event_needs_no_blank_line_after_it(tmp_path: Path) -> None:
    decoded, _ = decode(tmp_path, [event("completed", picture()).rstrip(b"\n")])
    assert images(tmp_path, decoded) == [picture()]


def test_garbage_after_the_completed_image_takes_nothing_away(tmp_path: Path) -> None:
    decoded, _ = decode(tmp_path, [event("completed", picture()) + b"data: {oops\n\n"])
    assert images(tmp_path, decoded) == [picture()]


@given(
    st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"data:", b"\n", b"\n\n", b"event: error", b"{}"])))
)
def test_no_bytes_raise_anything_but_decode_error(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        try:
            decode(Path(name), pieces)
        except DecodeError as error:
            assert error.kind
