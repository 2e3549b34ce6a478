"""/v1/images/generations through the official SDK: one job of the ledger, waited for, and never paid twice."""

import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import ImagesResponse
from sqlalchemy import select

from jobs.api.openai import generations
from jobs.ledger import budgets, limits, recovery, schema
from jobs.ledger.budgets import Scope
from jobs.ledger.engine import Ledger
from tests.integration.dialects import BODY, Dialect, LosesAnswers, client_of, dialect_over
from tests.integration.mills import QUICK, until
from worker.simulator import Simulator, start_in_thread


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with start_in_thread(QUICK) as running:
        yield running


@pytest.fixture
def idle(sqlite_ledger: Ledger, simulator: Simulator, tmp_path: Path) -> Iterator[Dialect]:
    """Nobody works."""
    with dialect_over(sqlite_ledger, simulator, tmp_path) as made:
        yield made


@pytest.fixture
def dialect(idle: Dialect) -> Iterator[Dialect]:
    """A worker takes up what it is woken for."""
    with working(idle):
        yield idle


@contextmanager
def working(dialect: Dialect) -> Iterator[None]:
    register(dialect)
    stop = threading.Event()

    def work() -> None:
        taken = 0
        while not stop.is_set():
            woken = dialect.api.woken[taken:]
            taken += len(woken)
            for batch_id, _ in woken:
                dialect.mill.run(batch_id, allow_private_hosts=f"127.0.0.1:{dialect.mill.simulator.port}")
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def register(dialect: Dialect) -> None:
    """A live worker that takes nothing up."""
    dialect.api.ledger.write(recovery.register_worker, "w_idle", "here", 1, str(dialect.mill.folder / "spool"))


def generate(client: openai.OpenAI, prompt: str = "a fox", **options: Any) -> ImagesResponse:
    answer: ImagesResponse = client.images.generate(
        model="gpt-image-1", prompt=prompt, quality="low", size="1024x1024", **options
    )
    return answer


def image_of(answer: ImagesResponse) -> bytes:
    assert answer.data is not None
    return base64.b64decode(answer.data[0].b64_json or "")


def number_of_calls(dialect: Dialect) -> int:
    return len(dialect.mill.simulator.calls())


def jobs_by_state(dialect: Dialect) -> list[str]:
    with dialect.api.ledger.read() as tx:
        return list(tx.execute(select(schema.jobs.c.state)).scalars())


def test_images_come_with_usage_as_from_the_endpoint(dialect: Dialect) -> None:
    answer = generate(dialect.client, n=2)
    assert answer.data is not None and answer.usage is not None
    assert sorted(base64.b64decode(image.b64_json or "") for image in answer.data) == sorted(
        path.read_bytes() for path in dialect.mill.images()
    )
    assert (answer.size, answer.quality, answer.output_format) == ("1024x1024", "low", "png")
    assert answer.usage.output_tokens == 2 * 272
    assert answer.created > 0


def test_the_answer_names_the_batch_and_the_endpoints_request(dialect: Dialect) -> None:
    raw = dialect.client.images.with_raw_response.generate(model="gpt-image-1", prompt="a fox", quality="low")
    call = dialect.mill.simulator.calls()[-1]
    assert raw.request_id == call["request_id"]
    batch = dialect.api.get(f"/api/batches/{raw.headers['x-imagemill-batch']}").json()
    assert (batch["name"], batch["jobs"]["succeeded"]) == ("images.generate", 1)
    assert int(raw.headers["content-length"]) == len(raw.content)


def test_equal_requests_are_images_of_their_own(dialect: Dialect) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: generate(dialect.client), range(3)))
    assert len(answers) == number_of_calls(dialect) == 3


def test_the_same_idempotency_key_is_the_same_job(dialect: Dialect) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = generate(dialect.client, extra_headers=key)
    assert image_of(generate(dialect.client, extra_headers=key)) == image_of(first)
    assert number_of_calls(dialect) == 1
    with pytest.raises(openai.ConflictError) as caught:
        generate(dialect.client, "a hen", extra_headers=key)
    assert caught.value.code == "key_reused"


def test_a_request_whose_answer_was_lost_is_repeated_by_the_sdk_and_not_paid_twice(dialect: Dialect) -> None:
    network = LosesAnswers(2)
    with dialect.over(network) as client:
        answer = generate(client)
    assert image_of(answer) == dialect.mill.images()[0].read_bytes()
    assert [request.headers["x-stainless-retry-count"] for request in network.sent] == ["0", "1", "2"]
    assert number_of_calls(dialect) == 1


def test_a_client_that_loses_patience_and_repeats_gets_the_job_it_left(idle: Dialect) -> None:
    register(idle)
    patient = idle.client.with_options(max_retries=1, timeout=2.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(generate, patient)
        until(lambda: len(retries(idle)) == 1 and retries(idle) != [0])
        idle.mill.run(idle.api.woken[0][0])
        assert image_of(waiting.result(30)) == idle.mill.images()[0].read_bytes()
    assert (len(idle.api.woken), number_of_calls(idle)) == (1, 1)


def retries(dialect: Dialect) -> list[int]:
    with dialect.api.ledger.read() as tx:
        return list(tx.execute(select(schema.openai_requests.c.repeats)).scalars())


def test_a_repeat_of_another_caller_or_of_another_prompt_gets_nothing_of_it(dialect: Dialect) -> None:
    repeating = {"x-stainless-retry-count": "1"}
    generate(dialect.client)
    generate(dialect.client, "a hen", extra_headers=repeating)
    assert number_of_calls(dialect) == 2
    with client_of(dialect.api, "submit") as other:
        generate(other, extra_headers=repeating)
    assert number_of_calls(dialect) == 3


def test_a_client_that_leaves_does_not_lose_the_job(idle: Dialect) -> None:
    register(idle)
    with pytest.raises(openai.APITimeoutError):
        generate(idle.client.with_options(timeout=0.5))
    (batch_id, _) = idle.api.woken[0]
    assert idle.mill.run(batch_id).jobs["succeeded"] == 1
    assert len(idle.mill.images()) == 1


def test_without_a_worker_nothing_is_recorded(idle: Dialect) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        generate(idle.client.with_options(max_retries=2))
    assert (caught.value.status_code, caught.value.code) == (503, "no_worker")
    assert "imagemill work" in caught.value.message
    assert jobs_by_state(idle) == []


@pytest.mark.parametrize(
    ("marker", "error", "code"),
    [
        ("refuse", openai.BadRequestError, "moderation_blocked"),
        ("400", openai.BadRequestError, "invalid_value"),
        ("404", openai.NotFoundError, "model_not_found"),
    ],
)
def test_an_error_of_the_endpoint_is_raised_as_its_class(
    dialect: Dialect, marker: str, error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as caught:
        generate(dialect.client, f"a fox [[sim: {marker}]]")
    assert caught.value.code == code
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_call_in_doubt_is_an_error_that_says_so_and_is_not_repeated(dialect: Dialect) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        generate(dialect.client.with_options(max_retries=2), "a fox [[sim: close]]")
    assert (caught.value.status_code, caught.value.code) == (502, "outcome_unknown")
    assert "may have been paid for" in caught.value.message
    assert (jobs_by_state(dialect), number_of_calls(dialect)) == (["held"], 1)


def test_a_full_budget_is_a_quota_error_and_nothing_stays_queued(dialect: Dialect) -> None:
    dialect.api.ledger.write(budgets.set_cap, Scope.OVERALL, "", 1)
    with pytest.raises(openai.RateLimitError) as caught:
        generate(dialect.client.with_options(max_retries=2))
    assert (caught.value.code, caught.value.type) == ("budget_full", "insufficient_quota")
    assert "imagemill budget set" in caught.value.message
    assert (jobs_by_state(dialect), number_of_calls(dialect)) == (["cancelled"], 0)


def test_after_the_budget_was_raised_the_same_key_makes_the_image(dialect: Dialect) -> None:
    key = {"Idempotency-Key": "k-1"}
    dialect.api.ledger.write(budgets.set_cap, Scope.OVERALL, "", 1)
    with pytest.raises(openai.RateLimitError):
        generate(dialect.client, extra_headers=key)
    dialect.api.ledger.write(budgets.set_cap, Scope.OVERALL, "", None)
    assert image_of(generate(dialect.client, extra_headers=key))
    assert (jobs_by_state(dialect), number_of_calls(dialect)) == (["succeeded"], 1)


def test_a_paused_endpoint_is_told(idle: Dialect) -> None:
    register(idle)
    url = idle.api.service.settings.endpoint_url
    idle.api.ledger.write(limits.pause_endpoint, url, None, "billing", "no money left")
    with pytest.raises(openai.InternalServerError) as caught:
        generate(idle.client)
    assert (caught.value.status_code, caught.value.code) == (503, "endpoint_paused")
    assert "no money left" in caught.value.message
    assert jobs_by_state(idle) == ["cancelled"]


def test_a_wait_that_grows_too_long_says_that_the_job_goes_on(
    idle: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "PATIENCE_S", 0.2)
    register(idle)
    with pytest.raises(openai.InternalServerError) as caught:
        generate(idle.client.with_options(max_retries=2))
    assert (caught.value.status_code, caught.value.code) == (504, "still_running")
    assert jobs_by_state(idle) == ["queued"]


@pytest.mark.parametrize(
    ("change", "param"),
    [({"size": "1x1"}, "size"), ({"prompt": " "}, "prompt"), ({"n": 0}, "n"), ({"stream": True}, "stream")],
)
def test_a_request_that_can_never_work_is_refused_by_name_and_not_recorded(
    idle: Dialect, change: dict[str, object], param: str
) -> None:
    register(idle)
    with pytest.raises(openai.BadRequestError) as caught:
        idle.client.post("/images/generations", body=BODY | {"prompt": "a fox"} | change, cast_to=object)
    assert caught.value.param == param
    assert jobs_by_state(idle) == []
    assert list(idle.api.service.uploads.glob("*")) == []


def test_a_token_that_may_only_read_makes_no_image(dialect: Dialect) -> None:
    with client_of(dialect.api, "read") as reader, pytest.raises(openai.PermissionDeniedError):
        generate(reader)
    assert number_of_calls(dialect) == 0


def test_an_image_may_come_as_an_address(dialect: Dialect) -> None:
    answer = dialect.client.images.generate(
        model="dall-e-3", prompt="a fox", response_format="url", extra_headers={"Idempotency-Key": "k"}
    )
    assert answer.data is not None
    assert dialect.api.get(str(answer.data[0].url)).content == dialect.mill.images()[0].read_bytes()
