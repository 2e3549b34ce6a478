"""Answers become part files and a small rest: the same for every split, and typed errors for all else."""

import hashlib
import json
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import USAGE, document, noise, picture, text
from worker import answer
from worker.answer import AnswerDecoder, Decoded
from worker.parts import Broken, Part, Parts
from worker.scan import DecodeError

MAX_BYTES = 64 << 20


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def decode(folder: Path, pieces: list[bytes], **options: Any) -> Decoded:
    parts = Parts(lambda name: folder / name, "a1", options.pop("max_image_bytes", MAX_BYTES))
    decoder = AnswerDecoder(parts, **{"max_bytes": MAX_BYTES, **options})
    try:
        for piece in pieces[:-1]:
            decoder.feed(piece)
        return decoder.finish(pieces[-1])
    except DecodeError:
        parts.discard()
        assert list(folder.iterdir()) == []
        raise


def images(folder: Path, decoded: Decoded) -> list[bytes | str | None]:
    """The bytes of each whole image, the kind of each broken one; checks the hashes on the way."""
    found: list[bytes | str | None] = []
    for item in decoded.items:
        if isinstance(item.image, Part):
            data = (folder / item.image.name).read_bytes()
            assert item.image.sha256 == hashlib.sha256(data).hexdigest()
            assert item.image.bytes == len(data)
            found.append(data)
        else:
            found.append(item.image.kind if item.image else None)
    return found


def halves(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_a_small_answer_is_decoded_at_once(folder: Path) -> None:
    body = text(picture(), picture("webp"), quality="low", background="opaque")
    decoded = decode(folder, [body])
    assert images(folder, decoded) == [picture(), picture("webp")]
    assert decoded.usage == USAGE
    assert decoded.facts == {"created": 1589478378, "quality": "low", "background": "opaque"}


def test_a_large_answer_is_decoded_as_it_comes(folder: Path) -> None:
    decoded = decode(folder, halves(text(noise(), picture(), noise(500), size="auto"), 70_001))
    assert images(folder, decoded) == [noise(), picture(), noise(500)]
    assert decoded.usage == USAGE
    assert decoded.facts == {"created": 1589478378, "size": "auto"}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_scanned_and_parsed_whole_are_the_same_for_any_split(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(["plain", "indented", "slashes", "data-url", "doubled", "mixed"]))
    body = odd_body(shape)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        whole = decode(Path(name), [body])
        expected = images(Path(name), whole)
        patch.setattr(answer, "WHOLE_BYTES", data.draw(st.integers(2, 40)))
        scanned = decode(Path(name), pieces)
        assert images(Path(name), scanned) == expected == reference(body)
        assert (scanned.usage, scanned.facts) == (whole.usage, whole.facts)


def odd_body(shape: str) -> bytes:
    plain = document(picture(), picture("gif"), quality="low")
    match shape:
        case "indented":
            return b"\xef\xbb\xbf \n" + json.dumps(plain, indent=2).encode()
        case "slashes":
            return json.dumps(plain).replace("/", "\\/").replace("=", "\\u003d").encode()
        case "data-url":
            plain["data"][0]["b64_json"] = "data:image/png;base64," + plain["data"][0]["b64_json"]
        case "doubled":
            text = json.dumps(plain)
            return (text[:-1] + ', "data": ' + json.dumps(document(picture("jpeg"))["data"]) + "}").encode()
        case "mixed":
            plain["data"] += [
                {},
                {"b64_json": None},
                7,
                {"url": "https://x/y"},
                {"b64_json": "!!!!"},
                {"b64_json": ""},
            ]
    return json.dumps(plain).encode()


def reference(body: bytes) -> list[bytes | str | None]:
    """The images by the standard library."""
    found: list[bytes | str | None] = []
    for element in json.loads(body.decode("utf-8-sig"))["data"]:
        coded = element.get("b64_json") if isinstance(element, dict) else None
        try:
            data = (
                b64decode(coded.removeprefix("data:image/png;base64,"), validate=True)
                if coded is not None
                else None
            )
        except ValueError:
            data = b"bad"
        found.append({b"": "image_empty", b"bad": "bad_base64"}.get(data, data) if data is not None else None)
    return found


@pytest.mark.parametrize("whole_bytes", [0, answer.WHOLE_BYTES])
@pytest.mark.parametrize(
    ("coded", "kind"),
    [
        ("AAA", "bad_base64"),
        ("AAAA=", "bad_base64"),
        ("AA==AAAA", "bad_base64"),
        ("A" * 400 + "AA==" + "A" * 400, "bad_base64"),
        ("AA AA", "bad_base64"),
        ("AAAA\nAAAA", "bad_base64"),
        ("é" * 8, "bad_base64"),
        ("-_-_", "bad_base64"),
        ("data:image/png,AAAA", "bad_base64"),
        ("data:image/png;base64," * 2, "bad_base64"),
        ("", "image_empty"),
        (b64encode(b"<html></html>").decode(), "not_an_image"),
        (b64encode(picture("jpeg")[:-30]).decode(), "image_cut"),
    ],
)
def test_bad_images_are_named_and_leave_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int, coded: str, kind: str
) -> None:
    monkeypatch.setattr(answer, "WHOLE_BYTES", whole_bytes)
    body = json.dumps({"data": [{"b64_json": coded}], "usage": USAGE}).encode()
    decoded = decode(folder, halves(body, 97))
    assert images(folder, decoded) == [kind]
    assert decoded.usage == USAGE
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("whole_bytes", [0, answer.WHOLE_BYTES])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "answer_cut"),
        (text(picture())[:-1], "answer_cut"),
        (text(picture())[:100], "answer_cut"),
        (b"<html><body>sorry</body></html>", "not_an_answer"),
        (b"null", "not_an_answer"),
        (b'[{"b64_json": "AAAA"}]', "not_an_answer"),
        (b'{"created" 1}', "malformed_answer"),
        (b'{"created": NaN}', "malformed_answer"),
        (b'{"a": 1} trailing', "malformed_answer"),
        (b'{"a":' * 6000 + b"1" + b"}" * 6000, "malformed_answer"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed_answer"),
    ],
)
def test_what_is_no_answer_is_a_decode_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int, body: bytes, kind: str
) -> None:
    monkeypatch.setattr(answer, "WHOLE_BYTES", whole_bytes)
    with pytest.raises(DecodeError) as error:
        decode(folder, [body])
    assert error.value.kind == kind


def test_an_answer_cut_at_any_fiftieth_is_no_answer(folder: Path) -> None:
    body = text(noise(), picture())
    for step in range(50):
        with pytest.raises(DecodeError) as error:
            decode(folder, halves(body[: len(body) * step // 50], 262_144) or [b""])
        assert error.value.kind == "answer_cut"


def test_c8_an_answer_over_the_cap_is_refused_as_it_comes(folder: Path) -> None:
    with pytest.raises(DecodeError) as error:
        decode(folder, halves(text(noise()), 65_536), max_bytes=500_000)
    assert error.value.kind == "answer_too_large"


def test_one_image_over_the_cap_does_not_take_the_others_with_it(folder: Path) -> None:
    decoded = decode(folder, halves(text(noise(), picture()), 65_536), max_image_bytes=500_000)
    assert images(folder, decoded) == ["image_too_large", picture()]


def test_an_answer_with_images_without_end_is_bounded(folder: Path) -> None:
    decoded = decode(folder, [text(*[picture("gif")] * 80)])
    assert images(folder, decoded).count("too_many_images") == 80 - 64
    assert len(list(folder.iterdir())) == 64


BOMBS = """
import gzip, itertools, resource, sys
from pathlib import Path
from worker.answer import AnswerDecoder
from worker.inflate import InflatingDecoder
from worker.parts import Parts
from worker.scan import DecodeError
from worker.sse import EventDecoder

def inflating(*args, **options):
    return InflatingDecoder("gzip", AnswerDecoder(*args, **options))


PIECE, MB = b"A" * (1 << 16), 1 << 20
START = b'{"data": [{"b64_json": "'
NAME = b"event: image_generation.completed\\ndata: "
BOMBS = {
    "one image": (AnswerDecoder, [START], PIECE),
    "many images": (AnswerDecoder, [START], b'AAAA"}, {"b64_json": "' * 1000),
    "no image": (AnswerDecoder, [b'{"x": "'], PIECE),
    "many values": (AnswerDecoder, [b'{"x": ['], b"[]," * 20_000),
    "event": (EventDecoder, [NAME, START], PIECE),
    "line": (EventDecoder, [], PIECE),
    "compressed": (inflating, [], gzip.compress(b" " * (110 * MB), 1)),
}
resource.setrlimit(resource.RLIMIT_AS, (int(Path("/proc/self/statm").read_text().split()[0]) * 4096 + 64 * MB,) * 2)
for name, (kind, start, piece) in BOMBS.items():
    parts = Parts(Path(sys.argv[1]).joinpath, "a1", 8 * MB)
    decoder = kind(parts, max_bytes=100 * MB)
    try:
        for data in itertools.chain(start, itertools.repeat(piece, 2 * 100 * MB // len(piece) + 2)):
            decoder.feed(data)
    except DecodeError as error:
        print(name, error.kind, sep=": ")
    parts.discard()
"""


def test_c8_no_answer_takes_more_than_64_mb_however_long_it_is(folder: Path) -> None:
    """In a process that has no more."""
    command = [sys.executable, "-c", BOMBS, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "one image: answer_too_large",
        "many images: answer_too_large",
        "no image: answer_too_large",
        "many values: answer_too_large",
        "event: answer_too_large",
        "line: not_an_answer",
        "compressed: answer_too_large",
    ]
    assert list(folder.iterdir()) == []


def test_half_an_emoji_in_the_revised_prompt_costs_no_image(folder: Path) -> None:
    body = text(picture()).replace(b'"}]', b'", "revised_prompt": "a cat \\ud83d"}]')
    decoded = decode(folder, [body])
    assert images(folder, decoded) == [picture()]
    assert decoded.items[0].revised_prompt == "a cat \ufffd"


@pytest.mark.parametrize("whole_bytes", [0, answer.WHOLE_BYTES])
def test_c12_an_echoed_key_is_kept_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int) -> None:
    monkeypatch.setattr(answer, "WHOLE_BYTES", whole_bytes)
    decoded = decode(folder, [text(picture(), echo="Bearer canary-7")], secret="canary-7")
    assert "canary-7" not in repr(decoded)


def test_a_key_that_happens_to_stand_in_an_image_leaves_its_bytes_alone(folder: Path) -> None:
    image = picture()
    part = b64encode(image).decode()[40:52]
    decoded = decode(folder, [text(image, echo=f"key {part}")], secret=part)
    assert isinstance(decoded.items[0].image, Part)
    assert decoded.facts["echo"] == "key [secret]"


@pytest.mark.parametrize("key", ["b", "a", "1", "data", "image", "usage", "EMPTY"])
def test_a_placeholder_for_a_key_tears_no_answer(folder: Path, key: str) -> None:
    image = picture()
    decoded = decode(folder, [text(image, usage={"input_tokens": 11})], secret=key)
    assert decoded == decode(folder, [text(image, usage={"input_tokens": 11})])
    assert decoded.usage == {"input_tokens": 11}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["data", "b64_json", "url", "usage", "error", "revised_prompt"]), x, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_c23_no_shape_of_answer_raises_anything_but_decode_error(value: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        try:
            decoded = decode(Path(name), [json.dumps({"data": value}).encode()])
        except DecodeError:
            return
        assert all(not isinstance(item.image, Part) for item in decoded.items)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_raise_anything_but_decode_error(change: bytes, place: int) -> None:
    body = bytearray(text(picture("gif")))
    body[place : place + len(change)] = change
    with tempfile.TemporaryDirectory() as name:
        try:
            decoded = decode(Path(name), [bytes(body)])
        except DecodeError:
            return
        assert all(isinstance(item.image, Part | Broken | None) for item in decoded.items)
