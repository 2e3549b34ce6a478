"""The simulator over HTTP: answers, keys, models, files, journal, limits, settings."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from worker.simulator import Simulator, SimulatorConfig, start_in_thread
from worker.simulator.models import MODELS

FAST = SimulatorConfig(latency_s=0.0, pictures="prerendered", image_bytes=2000)


@pytest.fixture
def start() -> Iterator[Callable[..., Simulator]]:
    """Starts simulators; all are stopped at the end."""
    running: list[Simulator] = []

    def begin(**settings: Any) -> Simulator:
        running.append(start_in_thread(replace(FAST, **settings)))
        return running[-1]

    yield begin
    for simulator in running:
        simulator.stop()


def post(simulator: Simulator, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    """One call with a key, as gpt-image-1 at low quality unless said otherwise."""
    body = {"model": "gpt-image-1", "prompt": "a fox", "quality": "low"} | fields
    sent = {"Authorization": "Bearer sk-test"} | (headers or {})
    return httpx.post(f"{simulator.url}/images/generations", json=body, headers=sent, timeout=30)


def eventually(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        time.sleep(0.01)


def test_gpt_image_answers_base64_with_usage(start: Callable[..., Simulator]) -> None:
    answer = post(start(), n=2, size="1536x1024", output_format="jpeg", user="someone").json()
    assert [set(item) for item in answer["data"]] == [{"b64_json"}] * 2
    assert {key: answer[key] for key in ("background", "output_format", "quality", "size")} == {
        "background": "opaque",
        "output_format": "jpeg",
        "quality": "low",
        "size": "1536x1024",
    }
    assert answer["safety_identifier"] == "someone"
    assert answer["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"text_tokens": 2, "image_tokens": 0},
        "output_tokens": 800,
        "output_tokens_details": {"image_tokens": 800, "text_tokens": 0},
        "total_tokens": 802,
    }


def test_dall_e_3_answers_a_url_and_a_revised_prompt(start: Callable[..., Simulator]) -> None:
    answer = post(start(), model="dall-e-3", quality="hd").json()
    assert set(answer) == {"created", "data"}
    assert set(answer["data"][0]) == {"url", "revised_prompt"}
    assert "a fox" in answer["data"][0]["revised_prompt"]


def test_dall_e_answers_base64_when_asked(start: Callable[..., Simulator]) -> None:
    answer = post(start(), model="dall-e-2", quality=None, response_format="b64_json", n=3).json()
    assert [set(item) for item in answer["data"]] == [{"b64_json"}] * 3


def test_a_gateway_answers_gpt_image_by_url_and_with_usage(start: Callable[..., Simulator]) -> None:
    answer = post(start(gpt_image_urls=True)).json()
    assert set(answer["data"][0]) == {"url"}
    assert answer["usage"]["total_tokens"] == 274


def test_urls_begin_with_the_public_base(start: Callable[..., Simulator]) -> None:
    answer = post(start(gpt_image_urls=True, public_url="http://pictures.test")).json()
    assert answer["data"][0]["url"].startswith("http://pictures.test/files/req_")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [(None, None), ("Basic abc", None), ("Bearer", None), ("Bearer sk-wrong", "invalid_api_key")],
)
def test_a_wrong_key_is_not_let_in(
    start: Callable[..., Simulator], authorization: str | None, code: str | None
) -> None:
    simulator = start(api_keys=("sk-right",))
    headers = {} if authorization is None else {"Authorization": authorization}
    refused = httpx.post(f"{simulator.url}/images/generations", json={"prompt": "a fox"}, headers=headers)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == code
    assert post(simulator, {"Authorization": "Bearer sk-right"}).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b""])
def test_a_body_that_is_no_request_is_a_bad_request(start: Callable[..., Simulator], body: bytes) -> None:
    simulator = start()
    headers = {"Authorization": "Bearer sk-test"}
    refused = httpx.post(f"{simulator.url}/images/generations", content=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert [call["billed"] for call in simulator.calls()] == [False]


def test_unknown_paths_and_methods_are_answered_as_the_api_does(start: Callable[..., Simulator]) -> None:
    simulator = start()
    lost = httpx.post(f"{simulator.url}/images/variations")
    assert (lost.status_code, lost.json()["error"]["type"]) == (404, "invalid_request_error")
    assert httpx.get(f"{simulator.url}/images/generations").status_code == 405
    assert post(simulator, prompt="x" * 5_000_000).status_code == 413


def test_every_answer_has_a_request_id_of_its_own(start: Callable[..., Simulator]) -> None:
    simulator = start()
    answers = [post(simulator), post(simulator), post(simulator, n=0), httpx.get(f"{simulator.url}/models")]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 4
    assert ids >= {call["request_id"] for call in simulator.calls()}


def test_models_say_when_they_end(start: Callable[..., Simulator]) -> None:
    simulator = start()
    listed = httpx.get(f"{simulator.url}/models").json()
    ends = {model["id"]: model["shutdown_date"] for model in listed["data"]}
    assert ends.keys() == MODELS.keys()
    assert ends["gpt-image-1"] == "2026-10-23"
    assert ends["gpt-image-2.6-flare"] is None
    assert httpx.get(f"{simulator.url}/models/gpt-image-2").json()["id"] == "gpt-image-2"
    assert httpx.get(f"{simulator.url}/models/gpt-image-9").status_code == 404


def test_retired_models_are_refused_when_so_configured(start: Callable[..., Simulator]) -> None:
    simulator = start(refuse_retired=True)
    refused = post(simulator, model="dall-e-2", quality=None)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_not_found")
    listed = {model["id"] for model in httpx.get(f"{simulator.url}/models").json()["data"]}
    assert "dall-e-2" not in listed


def test_a_url_serves_the_journalled_bytes_until_its_time_is_past(start: Callable[..., Simulator]) -> None:
    simulator = start(url_ttl_s=3.0)
    url = post(simulator, model="dall-e-2", quality=None).json()["data"][0]["url"]
    file = httpx.get(url)
    assert (file.status_code, file.headers["content-type"]) == (200, "image/png")
    assert sha256(file.content).hexdigest() == simulator.calls()[0]["images"][0]["sha256"]
    eventually(lambda: httpx.get(url).status_code == 403)
    eventually(lambda: {line["http_status"] for line in simulator.lines("file")} == {200, 403})


def test_a_url_that_never_was_is_not_found(start: Callable[..., Simulator]) -> None:
    assert httpx.get(f"{start().root}/files/nothing.png").status_code == 404


def test_the_journal_tells_what_was_asked_billed_and_sent(start: Callable[..., Simulator], tmp_path: Path) -> None:
    place = tmp_path / "deep" / "journal.jsonl"
    simulator = start(journal=place)
    ids = {"X-Client-Request-Id": "attempt-1", "Idempotency-Key": "job-1"}
    answer = post(simulator, ids, n=2, prompt="狐狸")
    eventually(lambda: len(simulator.lines()) == 2)
    call, end = (json.loads(line) for line in place.read_text().splitlines())
    files = [base64.b64decode(item["b64_json"]) for item in answer.json()["data"]]
    assert call["kind"] == "call"
    assert (call["attempt_id"], call["idempotency_key"]) == ("attempt-1", "job-1")
    assert (call["model"], call["n"], call["http_status"], call["fault"]) == ("gpt-image-1", 2, 200, None)
    assert call["request_id"] == answer.headers["x-request-id"]
    assert call["prompt_sha256"] == sha256("狐狸".encode()).hexdigest()
    assert (call["billed"], call["amount_nanodollars"]) == (True, 2 * 5_000 + 544 * 40_000)
    assert call["usage"] == answer.json()["usage"]
    assert [image["sha256"] for image in call["images"]] == [sha256(file).hexdigest() for file in files]
    assert [image["bytes"] for image in call["images"]] == [len(file) for file in files]
    assert (end["kind"], end["request_id"], end["result"]) == ("end", call["request_id"], "complete")
    assert httpx.get(f"{simulator.root}/sim/journal").content == place.read_bytes()


def test_the_journal_is_appended_to_by_the_next_simulator(start: Callable[..., Simulator], tmp_path: Path) -> None:
    for _ in range(2):
        simulator = start(journal=tmp_path / "journal.jsonl")
        post(simulator)
        simulator.stop()
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 4


def test_without_a_journal_nothing_is_kept(start: Callable[..., Simulator]) -> None:
    simulator = start(journal=None)
    assert post(simulator).status_code == 200
    assert simulator.lines() == []


def test_a_call_is_in_the_journal_before_its_answer(start: Callable[..., Simulator]) -> None:
    simulator = start(latency_s=30.0)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(post, simulator)
        eventually(lambda: len(simulator.calls()) == 1)
        assert simulator.calls()[0]["billed"]
        assert not answer.done()
        simulator.stop()
        with pytest.raises(httpx.HTTPError):
            answer.result()


def test_a_caller_that_goes_away_is_billed_all_the_same(start: Callable[..., Simulator]) -> None:
    simulator = start(latency_s=30.0)
    body = b'{"model":"gpt-image-1","prompt":"a fox","quality":"low"}'
    with socket.create_connection(("127.0.0.1", simulator.port)) as connection:
        head = f"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Authorization: Bearer k\r\n\r\n" + body)
        eventually(lambda: len(simulator.calls()) == 1)
    eventually(lambda: [end["result"] for end in simulator.lines("end")] == ["disconnected"])
    assert simulator.calls()[0]["amount_nanodollars"] == 2 * 5_000 + 272 * 40_000


def test_rate_limits_are_told_in_headers_and_enforced(start: Callable[..., Simulator]) -> None:
    simulator = start(images_per_minute=2, requests_per_minute=100, tokens_per_minute=100_000)
    first, second, third = (post(simulator) for _ in range(3))
    assert first.headers["x-ratelimit-limit-images"] == "2"
    assert second.headers["x-ratelimit-remaining-requests"] == "98"
    assert first.headers["x-ratelimit-remaining-tokens"] == str(100_000 - 274)
    assert first.headers["x-ratelimit-reset-images"] == "30s"
    assert third.status_code == 429
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(third.headers["retry-after-ms"]) <= 30_000
    assert 1 <= int(third.headers["Retry-After"]) <= 30
    assert [call["fault"] for call in simulator.calls()] == [None, None, "rate-limit"]


def test_settings_change_while_it_runs(start: Callable[..., Simulator]) -> None:
    simulator = start()
    shown = httpx.post(f"{simulator.root}/sim/config", json={"fault_rates": {"500": 1.0}, "api_keys": ["sk"]})
    assert (shown.json()["fault_rates"], shown.json()["api_keys"]) == ({"500": 1.0}, 1)
    assert post(simulator).status_code == 401
    assert post(simulator, {"Authorization": "Bearer sk"}).status_code == 500
    simulator.configure(fault_rates={})
    assert post(simulator, {"Authorization": "Bearer sk"}).status_code == 200


@pytest.mark.parametrize(
    "change", [{"port": 1}, {"fault_rates": {"fivehundred": 1}}, [1], {"colour": 1}, {"latency_s": "x"}]
)
def test_a_setting_it_cannot_take_changes_nothing(start: Callable[..., Simulator], change: object) -> None:
    simulator = start()
    refused = httpx.post(f"{simulator.root}/sim/config", json=change)
    assert refused.status_code == 400
    assert post(simulator).status_code == 200


def test_configure_raises_what_the_simulator_refuses(start: Callable[..., Simulator]) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        start().configure(fault_rates={"fivehundred": 0.5})


def test_stats_count_calls_and_money(start: Callable[..., Simulator]) -> None:
    simulator = start()
    post(simulator, n=2)
    post(simulator, n=0)
    eventually(lambda: len(simulator.lines("end")) == 2)
    stats = httpx.get(f"{simulator.root}/sim/stats").json()
    assert (stats["calls"], stats["status_200"], stats["status_400"], stats["images"]) == (2, 1, 1, 2)
    assert stats["amount_nanodollars"] == 2 * 5_000 + 544 * 40_000
    assert (stats["in_flight"], stats["peak_in_flight"]) == (0, 1)
    assert httpx.get(f"{simulator.root}/healthz").json() == {"status": "ok"}


def test_a_key_seen_before_repeats_the_answer_unbilled_when_honoured(start: Callable[..., Simulator]) -> None:
    simulator = start(honour_idempotency_keys=True)
    headers = {"Idempotency-Key": "job-1"}
    with pytest.raises(httpx.HTTPError):
        post(simulator, headers, prompt="a fox [[sim: reset]]")
    again = post(simulator, headers, prompt="a fox [[sim: reset]]")
    first, second = simulator.calls()
    assert again.status_code == 200
    assert (first["billed"], second["billed"], second["amount_nanodollars"]) == (True, False, 0)
    assert second["replay_of"] == first["request_id"]


def test_an_unbilled_failure_is_not_repeated_for_its_key(start: Callable[..., Simulator]) -> None:
    simulator = start(honour_idempotency_keys=True)
    headers = {"Idempotency-Key": "job-1"}
    statuses = [post(simulator, headers, prompt="a fox [[sim: 500 x1]]").status_code for _ in range(3)]
    assert statuses == [500, 200, 200]
    assert [call["billed"] for call in simulator.calls()] == [False, True, False]


def test_keys_mean_nothing_unless_honoured(start: Callable[..., Simulator]) -> None:
    simulator = start()
    for _ in range(2):
        post(simulator, {"Idempotency-Key": "job-1"})
    assert [call["billed"] for call in simulator.calls()] == [True, True]


def test_hundreds_of_calls_wait_at_the_same_time(start: Callable[..., Simulator]) -> None:
    simulator = start(latency_s=0.5)
    with httpx.Client(limits=httpx.Limits(max_connections=100), timeout=60) as client:
        body = {"model": "gpt-image-1", "prompt": "a fox"}
        barrier = threading.Barrier(100)

        def call() -> int:
            barrier.wait()
            headers = {"Authorization": "Bearer k"}
            return client.post(f"{simulator.url}/images/generations", json=body, headers=headers).status_code

        with ThreadPoolExecutor(100) as threads:
            statuses = [future.result() for future in [threads.submit(call) for _ in range(100)]]
    assert statuses == [200] * 100
    assert httpx.get(f"{simulator.root}/sim/stats").json()["peak_in_flight"] > 1


def test_a_port_that_is_taken_is_told(start: Callable[..., Simulator]) -> None:
    taken = start()
    with pytest.raises(RuntimeError, match="did not start"):
        start_in_thread(SimulatorConfig(port=taken.port))


def test_stopping_twice_is_harmless() -> None:
    with start_in_thread(FAST) as simulator:
        simulator.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{simulator.root}/healthz")
