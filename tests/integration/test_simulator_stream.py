"""Streams: partial images, one `completed` per image, the usage once, and streams that go wrong."""

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from worker.simulator import Simulator, SimulatorConfig, start_in_thread

PARTIAL, COMPLETED = "image_generation.partial_image", "image_generation.completed"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_in_thread(SimulatorConfig(latency_s=0.0)) as running:
        yield running


def events(simulator: Simulator, prompt: str = "a fox", **fields: Any) -> list[dict[str, Any]]:
    """The events of one stream; the name of each is checked against its type."""
    body = {"model": "gpt-image-1", "prompt": prompt, "quality": "low", "stream": True} | fields
    headers = {"Authorization": "Bearer sk-test"}
    answer = httpx.post(f"{simulator.url}/images/generations", json=body, headers=headers)
    assert answer.headers["content-type"] == "text/event-stream"
    blocks = [block.split("\n", 1) for block in answer.text.removesuffix("\n\n").split("\n\n")]
    found = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert [name.removeprefix("event: ") for name, _ in blocks] == [event["type"] for event in found]
    return found


def test_partial_images_come_before_the_completed_one(simulator: Simulator) -> None:
    found = events(simulator, partial_images=2, size="1536x1024", output_format="jpeg")
    assert [event["type"] for event in found] == [PARTIAL, PARTIAL, COMPLETED]
    assert [event.get("partial_image_index") for event in found] == [0, 1, None]
    for event in found:
        assert event.keys() >= {"created_at", "size", "quality", "background", "output_format", "b64_json"}
        with Image.open(BytesIO(base64.b64decode(event["b64_json"]))) as image:
            assert (image.format, image.size) == ("JPEG", (1536, 1024))


def test_usage_of_a_stream_counts_partial_images_and_has_no_output_details(simulator: Simulator) -> None:
    completed = events(simulator, partial_images=2)[-1]
    assert completed["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"text_tokens": 2, "image_tokens": 0},
        "output_tokens": 472,
        "total_tokens": 474,
    }
    assert simulator.calls()[-1]["usage"] == completed["usage"]


def test_each_image_is_completed_and_the_last_carries_the_usage_of_all(simulator: Simulator) -> None:
    found = events(simulator, n=3)
    assert [event["type"] for event in found] == [COMPLETED] * 3
    assert [event.get("usage", {}).get("output_tokens") for event in found] == [None, None, 3 * 272]
    files = [base64.b64decode(event["b64_json"]) for event in found]
    call = simulator.calls()[-1]
    assert [image["sha256"] for image in call["images"]] == [sha256(file).hexdigest() for file in files]
    assert call["amount_nanodollars"] == 2 * 5_000 + 3 * 272 * 40_000


def test_a_stream_may_end_in_an_error(simulator: Simulator) -> None:
    found = events(simulator, prompt="[[sim: sse-error]]", partial_images=1)
    assert [event["type"] for event in found] == [PARTIAL, "error"]
    assert found[-1]["error"]["code"] == "image_generation_failed"
    assert simulator.calls()[-1]["images"] == []


def test_a_stream_may_end_without_completed(simulator: Simulator) -> None:
    found = events(simulator, prompt="[[sim: sse-short]]", partial_images=1)
    assert [event["type"] for event in found] == [PARTIAL]
    assert simulator.calls()[-1]["billed"]


def test_a_stream_may_be_cut(simulator: Simulator) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        events(simulator, prompt="[[sim: cut 0.7]]", partial_images=2)


def test_an_error_before_the_stream_is_plain_json(simulator: Simulator) -> None:
    body = {"model": "gpt-image-1", "prompt": "[[sim: refuse]]", "stream": True}
    headers = {"Authorization": "Bearer sk-test"}
    answer = httpx.post(f"{simulator.url}/images/generations", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "moderation_blocked")


def test_the_events_are_spread_over_the_time_of_the_answer() -> None:
    body = {"model": "gpt-image-1", "prompt": "a fox", "stream": True, "partial_images": 3}
    with (
        start_in_thread(SimulatorConfig(latency_s=4.0)) as simulator,
        httpx.Client(headers={"Authorization": "Bearer k"}) as client,
        client.stream("POST", f"{simulator.url}/images/generations", json=body, timeout=15) as answer,
    ):
        lines = answer.iter_lines()
        first = next(lines)
        assert simulator.lines("end") == []
    assert first == f"event: {PARTIAL}"


@pytest.mark.parametrize("spoil", ["empty", "no-data", "bad-json", "lost-url"])
def test_what_spoils_the_data_of_an_answer_leaves_a_stream_whole_in_the_books_too(
    simulator: Simulator, spoil: str
) -> None:
    completed = events(simulator, prompt=f"[[sim: {spoil}]]")[-1]
    sent = sha256(base64.b64decode(completed["b64_json"])).hexdigest()
    assert [image["sha256"] for image in simulator.calls()[-1]["images"]] == [sent]
