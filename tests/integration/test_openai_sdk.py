"""The official SDK gets from the simulator what it gets from the real endpoint: images, errors, events."""

import asyncio
import base64
from collections.abc import Iterator
from io import BytesIO

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from PIL import Image

from worker.simulator import Simulator, SimulatorConfig, start_in_thread

MODEL = "gpt-image-1"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_in_thread(SimulatorConfig(latency_s=0.0, api_keys=("sk-test",))) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=simulator.url, max_retries=0, timeout=10) as made:
        yield made


def test_images_come_as_base64_with_usage(client: OpenAI) -> None:
    answer = client.images.generate(model=MODEL, prompt="狐狸", n=2, size="1024x1536", quality="high")
    assert answer.data is not None
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.text_tokens == 2
    assert answer.usage.output_tokens == 2 * 6240
    assert (answer.size, answer.quality, answer.output_format) == ("1024x1536", "high", "png")
    for item in answer.data:
        with Image.open(BytesIO(base64.b64decode(item.b64_json or ""))) as image:
            assert image.size == (1024, 1536)


def test_dall_e_3_comes_by_url_with_a_revised_prompt(client: OpenAI) -> None:
    answer = client.images.generate(model="dall-e-3", prompt="a fox")
    assert answer.data is not None
    assert (answer.data[0].url or "").startswith("http://127.0.0.1:")
    assert answer.data[0].revised_prompt is not None
    assert answer.usage is None


def test_arguments_given_as_none_are_taken(client: OpenAI) -> None:
    answer = client.images.generate(model=MODEL, prompt="a fox", n=None, size=None, quality=None)
    assert answer.data is not None
    assert len(answer.data) == 1


def test_the_request_id_is_the_journals(client: OpenAI, simulator: Simulator) -> None:
    raw = client.images.with_raw_response.generate(
        model=MODEL, prompt="a fox", extra_headers={"X-Client-Request-Id": "attempt-7"}
    )
    call = simulator.calls()[-1]
    assert (raw.request_id, "attempt-7") == (call["request_id"], call["attempt_id"])


ERRORS: list[tuple[str, type[openai.APIStatusError], str | None, str | None]] = [
    ("400", openai.BadRequestError, "invalid_request_error", "invalid_value"),
    ("refuse", openai.BadRequestError, "image_generation_user_error", "moderation_blocked"),
    ("refuse-dalle", openai.BadRequestError, "invalid_request_error", "content_policy_violation"),
    ("billing", openai.BadRequestError, "invalid_request_error", "billing_hard_limit_reached"),
    ("401", openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
    ("402", openai.APIStatusError, "insufficient_balance", "insufficient_balance"),
    ("403", openai.PermissionDeniedError, "invalid_request_error", None),
    ("404", openai.NotFoundError, "invalid_request_error", "model_not_found"),
    ("409", openai.ConflictError, "conflict_error", None),
    ("422", openai.UnprocessableEntityError, "invalid_request_error", None),
    ("429", openai.RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
    ("credit", openai.RateLimitError, "insufficient_quota", "credit_balance_exhausted"),
    ("500", openai.InternalServerError, "server_error", None),
    ("503", openai.InternalServerError, "service_unavailable_error", "server_is_overloaded"),
    ("html-502", openai.InternalServerError, None, None),
]


@pytest.mark.parametrize(("marker", "error", "type_", "code"), ERRORS)
def test_an_error_is_raised_as_its_class(
    client: OpenAI,
    simulator: Simulator,
    marker: str,
    error: type[openai.APIStatusError],
    type_: str | None,
    code: str | None,
) -> None:
    with pytest.raises(error) as caught:
        client.images.generate(model=MODEL, prompt=f"a fox [[sim: {marker}]]")
    assert (caught.value.type, caught.value.code) == (type_, code)
    assert caught.value.request_id == simulator.calls()[-1]["request_id"]


def test_a_field_of_dall_e_is_an_unknown_parameter(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=MODEL, prompt="a fox", response_format="url")
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "response_format")


def test_a_wrong_key_is_an_authentication_error(simulator: Simulator) -> None:
    with (
        OpenAI(api_key="sk-wrong", base_url=simulator.url, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.images.generate(model=MODEL, prompt="a fox")


@pytest.mark.parametrize("marker", ["reset", "close", "cut"])
def test_a_lost_answer_is_a_connection_error(client: OpenAI, marker: str) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.images.generate(model=MODEL, prompt=f"a fox [[sim: {marker}]]")


def test_silence_is_a_timeout(client: OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.images.generate(model=MODEL, prompt="a fox [[sim: timeout]]", timeout=0.3)


def test_the_retries_of_the_sdk_heed_the_advice(simulator: Simulator) -> None:
    with OpenAI(api_key="sk-test", base_url=simulator.url, max_retries=2, timeout=10) as client:
        before = len(simulator.calls())
        answer = client.images.generate(model=MODEL, prompt="a fox [[sim: 429 0.05 x2]]")
    assert answer.data is not None
    assert [call["http_status"] for call in simulator.calls()[before:]] == [429, 429, 200]


def test_a_stream_yields_typed_events(client: OpenAI) -> None:
    with client.images.generate(model=MODEL, prompt="a fox", stream=True, partial_images=2) as stream:
        events = list(stream)
    partials = [event for event in events if isinstance(event, ImageGenPartialImageEvent)]
    completed = [event for event in events if isinstance(event, ImageGenCompletedEvent)]
    assert [event.partial_image_index for event in partials] == [0, 1]
    assert len(completed) == 1
    assert completed[0].usage.output_tokens == 1056 + 200


def test_an_error_event_is_raised_without_a_status(client: OpenAI) -> None:
    with (
        client.images.generate(model=MODEL, prompt="[[sim: sse-error]]", stream=True) as stream,
        pytest.raises(openai.APIError) as caught,
    ):
        list(stream)
    assert caught.value.code == "image_generation_failed"
    assert not isinstance(caught.value, openai.APIStatusError)


def test_models_are_listed(client: OpenAI) -> None:
    assert MODEL in {model.id for model in client.models.list()}
    assert client.models.retrieve("gpt-image-2").id == "gpt-image-2"


def test_the_async_client_gets_the_same(simulator: Simulator) -> None:
    async def calls() -> list[openai.types.ImagesResponse]:
        async with AsyncOpenAI(api_key="sk-test", base_url=simulator.url, max_retries=0) as client:
            prompts = [f"fox {number}" for number in range(8)]
            return await asyncio.gather(
                *(client.images.generate(model=MODEL, prompt=prompt, quality="low") for prompt in prompts)
            )

    answers = asyncio.run(calls())
    assert len({answer.data[0].b64_json for answer in answers if answer.data}) == 8
