"""Every fault of the marker language, as a caller meets it and as the journal tells it."""

import base64
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image, UnidentifiedImageError

from worker.simulator import Simulator, SimulatorConfig, start_in_thread
from worker.simulator.faults import BARE, ENDINGS, ERRORS, SILENT, SPOILS

PRICE = 272 * 40_000
"""Nano-dollars of the image of one call, its prompt excepted."""

CONFIG = SimulatorConfig(latency_s=0.0, pictures="prerendered", image_bytes=20_000, retry_after_s=2.0)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_in_thread(CONFIG) as running:
        yield running


def post(simulator: Simulator, marker: str, timeout_s: float = 10.0, **fields: Any) -> httpx.Response:
    """One call of gpt-image-1 whose prompt carries the marker."""
    body = {"model": "gpt-image-1", "prompt": f"a fox [[sim: {marker}]]", "quality": "low"} | fields
    headers = {"Authorization": "Bearer sk-test"}
    return httpx.post(f"{simulator.url}/images/generations", json=body, headers=headers, timeout=timeout_s)


def last_call(simulator: Simulator) -> dict[str, Any]:
    return simulator.calls()[-1]


def last_end(simulator: Simulator) -> str:
    """How the last call ended; waits for the line, which follows the answer."""
    request_id = last_call(simulator)["request_id"]
    deadline = time.monotonic() + 10
    while True:
        results = [end["result"] for end in simulator.lines("end") if end["request_id"] == request_id]
        if results:
            return str(results[0])
        assert time.monotonic() < deadline, "no end line was written"
        time.sleep(0.01)


def file_of(answer: httpx.Response) -> bytes:
    return base64.b64decode(answer.json()["data"][0]["b64_json"])


ERROR_ANSWERS = {
    "400": (400, "invalid_request_error", "invalid_value"),
    "401": (401, "invalid_request_error", "invalid_api_key"),
    "402": (402, "insufficient_balance", "insufficient_balance"),
    "403": (403, "invalid_request_error", None),
    "404": (404, "invalid_request_error", "model_not_found"),
    "408": (408, "server_error", None),
    "409": (409, "conflict_error", None),
    "413": (413, "invalid_request_error", None),
    "422": (422, "invalid_request_error", None),
    "429": (429, "rate_limit_error", "rate_limit_exceeded"),
    "500": (500, "server_error", None),
    "503": (503, "service_unavailable_error", "server_is_overloaded"),
    "529": (529, "overloaded_error", "overloaded"),
    "slow-down": (429, "rate_limit_error", "slow_down"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "credit": (429, "insufficient_quota", "credit_balance_exhausted"),
    "billing": (400, "invalid_request_error", "billing_hard_limit_reached"),
    "refuse": (400, "image_generation_user_error", "moderation_blocked"),
    "refuse-dalle": (400, "invalid_request_error", "content_policy_violation"),
    "gateway-429": (429, "throttling_error", "429"),
    "gateway-refuse": (400, "gateway_image_generation_user_error", "400"),
}


def test_no_fault_is_left_without_a_test() -> None:
    tested = {"cut", "hang-body", "slow", "delay", *EMPTY_DATA, *URLS_BY_NAME, *OTHERS}
    assert ERROR_ANSWERS.keys() == ERRORS.keys()
    assert SILENT | BARE | ERRORS.keys() == ENDINGS
    assert tested == SPOILS - {"sse-error", "sse-short"}


@pytest.mark.parametrize("name", ERROR_ANSWERS)
def test_an_error_is_the_apis_own_and_free(simulator: Simulator, name: str) -> None:
    answer = post(simulator, name)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == ERROR_ANSWERS[name]
    assert set(error) == {"message", "type", "param", "code"}
    call = last_call(simulator)
    assert (call["http_status"], call["fault"]) == (answer.status_code, name)
    assert (call["billed"], call["amount_nanodollars"], call["images"]) == (False, 0, [])


@pytest.mark.parametrize(("marker", "advice"), [("429", "2000"), ("503 0.5", "500"), ("529 7", "7000")])
def test_a_limit_says_how_long_to_wait(simulator: Simulator, marker: str, advice: str) -> None:
    assert post(simulator, marker).headers["retry-after-ms"] == advice


def test_a_refusal_names_the_violation(simulator: Simulator) -> None:
    assert "safety_violations=[" in post(simulator, "refuse").json()["error"]["message"]


@pytest.mark.parametrize("marker", ["billed-500", "500 billed", "429 billed", "html-502 billed"])
def test_an_error_may_come_after_billing(simulator: Simulator, marker: str) -> None:
    assert post(simulator, marker).status_code >= 429
    call = last_call(simulator)
    assert call["billed"]
    assert call["amount_nanodollars"] == call["usage"]["input_tokens"] * 5_000 + PRICE


@pytest.mark.parametrize(("name", "status"), [("html-502", 502), ("html-504", 504)])
def test_a_proxy_answers_a_page(simulator: Simulator, name: str, status: int) -> None:
    answer = post(simulator, name)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
    assert answer.text.startswith("<html>")


def test_an_error_may_have_no_body(simulator: Simulator) -> None:
    answer = post(simulator, "empty-500")
    assert (answer.status_code, answer.content) == (500, b"")


def test_a_redirect_leads_to_the_same_path(simulator: Simulator) -> None:
    answer = post(simulator, "redirect")
    assert (answer.status_code, answer.headers["location"]) == (307, "/v1/images/generations")
    assert not last_call(simulator)["billed"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("reset", httpx.ReadError),
        ("close", httpx.RemoteProtocolError),
        ("timeout", httpx.ReadTimeout),
    ],
)
def test_silence_is_billed(simulator: Simulator, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        post(simulator, name, timeout_s=0.5)
    call = last_call(simulator)
    assert (call["http_status"], call["fault"], call["billed"], call["images"]) == (None, name, True, [])
    assert last_end(simulator) == "cut"


def test_silence_may_be_free(simulator: Simulator) -> None:
    with pytest.raises(httpx.ReadError):
        post(simulator, "reset unbilled")
    assert last_call(simulator)["amount_nanodollars"] == 0


@pytest.mark.parametrize("marker", ["cut", "cut 0", "cut 0.95", "cut 1"])
def test_a_body_may_be_cut(simulator: Simulator, marker: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        post(simulator, marker)
    assert last_call(simulator)["billed"]
    assert last_end(simulator) == "cut"


def test_a_body_may_stall(simulator: Simulator) -> None:
    with pytest.raises(httpx.ReadTimeout):
        post(simulator, "hang-body 0.3", timeout_s=0.5)
    assert last_end(simulator) == "cut"


@pytest.mark.parametrize("marker", ["slow 0.4", "delay 0.4"])
def test_an_answer_may_take_its_time(simulator: Simulator, marker: str) -> None:
    start = time.monotonic()
    answer = post(simulator, marker)
    assert time.monotonic() - start > 0.35
    assert len(file_of(answer)) == last_call(simulator)["images"][0]["bytes"]
    assert last_end(simulator) == "complete"


EMPTY_DATA: dict[str, object] = {"empty": [], "null-data": None, "no-data": "absent", "empty-item": [{}]}


@pytest.mark.parametrize("name", EMPTY_DATA)
def test_an_answer_may_be_paid_and_hold_no_image(simulator: Simulator, name: str) -> None:
    answer = post(simulator, name)
    assert answer.status_code == 200
    assert answer.json().get("data", "absent") == EMPTY_DATA[name]
    call = last_call(simulator)
    assert (call["billed"], call["images"]) == (True, [])


OTHERS = frozenset({"bad-image", "bad-base64", "bad-json", "fewer", "no-usage", "bad-usage", "data-url", "extra"})


def test_an_image_may_be_no_image(simulator: Simulator) -> None:
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(file_of(post(simulator, "bad-image"))))
    assert last_call(simulator)["images"][0]["bytes"] > 0


def test_base64_may_be_none(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match=r"base64|padding|characters"):
        base64.b64decode(post(simulator, "bad-base64").json()["data"][0]["b64_json"], validate=True)


def test_json_may_be_none(simulator: Simulator) -> None:
    answer = post(simulator, "bad-json")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Unterminated string"):
        answer.json()


def test_an_image_may_be_missing(simulator: Simulator) -> None:
    answer = post(simulator, "fewer", n=3).json()
    assert len(answer["data"]) == 2
    assert answer["usage"]["output_tokens"] == 2 * 272


def test_usage_may_be_missing_while_the_call_is_billed(simulator: Simulator) -> None:
    assert "usage" not in post(simulator, "no-usage").json()
    assert last_call(simulator)["amount_nanodollars"] > PRICE


def test_usage_may_be_nonsense_while_the_books_are_right(simulator: Simulator) -> None:
    assert post(simulator, "bad-usage").json()["usage"]["output_tokens"] == "many"
    assert last_call(simulator)["usage"]["output_tokens"] == 272


def test_base64_may_stand_behind_a_prefix(simulator: Simulator) -> None:
    text = post(simulator, "data-url").json()["data"][0]["b64_json"]
    assert text.startswith("data:image/png;base64,iVBOR")


def test_an_answer_may_have_fields_nobody_knows(simulator: Simulator) -> None:
    assert "provider_note" in post(simulator, "extra").json()


URLS = {
    "url": [200, 200],
    "expired-url": [403],
    "lost-url": [404],
    "file-fail": [500, 200],
    "file-fail 2": [500, 500, 200],
    "file-cut": [0, 200],
}
"""What the downloads of such an answer get, one after another; 0 is a cut body."""
URLS_BY_NAME = {marker.split()[0] for marker in URLS}


def download(url: str) -> int:
    try:
        return httpx.get(url).status_code
    except httpx.RemoteProtocolError:
        return 0


@pytest.mark.parametrize("marker", URLS)
def test_an_image_may_come_by_url_and_fail_there(simulator: Simulator, marker: str) -> None:
    answer = post(simulator, marker)
    url = answer.json()["data"][0]["url"]
    assert [download(url) for _ in URLS[marker]] == URLS[marker]
    assert last_call(simulator)["billed"]


def test_an_unknown_marker_is_a_bad_request_that_names_the_nearest(simulator: Simulator) -> None:
    answer = post(simulator, "refuze")
    assert answer.status_code == 400
    assert "did you mean 'refuse'" in answer.json()["error"]["message"]


def test_a_fault_with_times_ends_for_that_prompt(simulator: Simulator) -> None:
    statuses = [post(simulator, "500 x2", prompt="owl [[sim: 500 x2]]").status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert post(simulator, "", prompt="elk [[sim: 500 x2]]").status_code == 500


def test_rates_make_a_run_that_can_be_repeated() -> None:
    def run(seed: int) -> list[int]:
        rates = {"429": 0.3, "500": 0.2}
        config = SimulatorConfig(
            seed=seed, latency_s=0.0, pictures="prerendered", image_bytes=2000, fault_rates=rates
        )
        body = {"model": "gpt-image-1"}
        with start_in_thread(config) as simulator, httpx.Client(base_url=simulator.url) as client:
            client.headers["Authorization"] = "Bearer k"
            answers = [
                client.post("/images/generations", json=body | {"prompt": f"fox {number % 20}"})
                for number in range(60)
            ]
        return [answer.status_code for answer in answers]

    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert {200, 429, 500} == set(first)


def test_an_error_before_the_work_does_not_take_the_time_of_the_work() -> None:
    with start_in_thread(SimulatorConfig(latency_s=60.0, pictures="prerendered")) as simulator:
        assert post(simulator, "429").status_code == 429
        with pytest.raises(httpx.ReadTimeout):
            post(simulator, "billed-500", timeout_s=0.5)


def test_rates_spare_prompts_that_choose_their_fault() -> None:
    config = SimulatorConfig(latency_s=0.0, pictures="prerendered", fault_rates={"500": 1.0})
    with start_in_thread(config) as simulator:
        assert post(simulator, "403").status_code == 403
        assert post(simulator, "delay 0").status_code == 200
        assert post(simulator, "", prompt="a fox").status_code == 500
