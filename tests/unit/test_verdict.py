"""What each error means, by code, type, words and status, as the providers and their gateways write it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.states import Outcome
from worker.calls import Pause
from worker.verdict import ApiError, Verdict, error_of, judge, read_error

MODEL = "gpt-image-2"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
REFUSAL = "Your request was rejected by the safety system. safety_violations=[violence]."


def body(code: Any = None, type: Any = None, message: str = "m") -> bytes:
    return json.dumps({"error": {"message": message, "type": type, "param": None, "code": code}}).encode()


def verdict(status: int, data: bytes, **told: Any) -> Verdict:
    return judge(status, read_error(data), model=MODEL, **told)


KEY, THIS_MODEL, GO_ON = "key", "model", None
INVALID = "invalid_request_error"
USER = "image_generation_user_error"

ROWS = [
    # status, code, type, message, outcome, retryable, pause
    (400, "unknown_parameter", INVALID, "m", Outcome.REJECTED, False, GO_ON),
    (400, "invalid_value", INVALID, "supported sizes are", Outcome.REJECTED, False, GO_ON),
    (400, "moderation_blocked", USER, REFUSAL, Outcome.REFUSED, False, GO_ON),
    (400, "content_policy_violation", INVALID, "m", Outcome.REFUSED, False, GO_ON),
    (400, "invalid_image_file", USER, "m", Outcome.REJECTED, False, GO_ON),
    (400, "invalid_input_fidelity_model", USER, "m", Outcome.REJECTED, False, GO_ON),
    (
        400,
        "billing_hard_limit_reached",
        INVALID,
        "Billing hard limit has been reached",
        Outcome.REJECTED,
        True,
        KEY,
    ),
    (400, "model_not_found", INVALID, "m", Outcome.REJECTED, False, GO_ON),
    (404, "model_not_found", INVALID, "m", Outcome.REJECTED, False, GO_ON),
    (401, "invalid_api_key", INVALID, "m", Outcome.REJECTED, True, KEY),
    (401, None, None, "m", Outcome.REJECTED, True, KEY),
    (402, "whatever", "varies", "m", Outcome.REJECTED, True, KEY),
    (403, None, INVALID, "organization must be verified", Outcome.REJECTED, True, THIS_MODEL),
    (408, None, None, "m", Outcome.ERRORED, True, GO_ON),
    (409, None, None, "m", Outcome.ERRORED, True, GO_ON),
    (413, None, INVALID, "m", Outcome.REJECTED, False, GO_ON),
    (422, None, INVALID, "m", Outcome.REJECTED, False, GO_ON),
    (429, "rate_limit_exceeded", "rate_limit_error", "images per minute", Outcome.THROTTLED, True, GO_ON),
    (429, "rate_limit_exceeded", "requests", "m", Outcome.THROTTLED, True, GO_ON),
    (429, "rate_limit_exceeded", "tokens", "m", Outcome.THROTTLED, True, GO_ON),
    (429, "slow_down", "rate_limit_error", "m", Outcome.THROTTLED, True, GO_ON),
    (503, "slow_down", None, "m", Outcome.THROTTLED, True, GO_ON),
    (429, "credit_balance_exhausted", "insufficient_quota", "m", Outcome.REJECTED, True, KEY),
    (429, "organization_spend_limit_exceeded", "insufficient_quota", "m", Outcome.REJECTED, True, KEY),
    (429, "project_spend_limit_exceeded", "insufficient_quota", "m", Outcome.REJECTED, True, KEY),
    (429, "organization_usage_limit_exceeded", "insufficient_quota", "m", Outcome.REJECTED, True, KEY),
    (429, "insufficient_quota", "insufficient_quota", "m", Outcome.REJECTED, True, KEY),
    (429, None, "insufficient_quota", "m", Outcome.REJECTED, True, KEY),
    (500, None, "server_error", "m", Outcome.ERRORED, True, GO_ON),
    (502, None, "server_error", "m", Outcome.ERRORED, True, GO_ON),
    (503, "server_is_overloaded", "service_unavailable_error", "m", Outcome.THROTTLED, True, GO_ON),
    (529, "overloaded", "overloaded_error", "m", Outcome.THROTTLED, True, GO_ON),
    # what gateways make of it
    (429, "429", "throttling_error", "m", Outcome.THROTTLED, True, GO_ON),
    (429, 429, "requests", "You exceeded your current quota, check billing", Outcome.REJECTED, True, KEY),
    (429, None, None, "Quota exceeded: 5 images per minute", Outcome.THROTTLED, True, GO_ON),
    (400, None, "xxx_image_generation_user_error", REFUSAL, Outcome.REFUSED, False, GO_ON),
    (400, "moderation_blocked", "new_api_error", "m", Outcome.REFUSED, False, GO_ON),
    (500, "moderation_blocked", "new_api_error", "m", Outcome.REFUSED, False, GO_ON),
    (400, None, "upstream_error", "user quota is not enough", Outcome.REJECTED, True, KEY),
    (403, None, "new_api_error", "余额不足", Outcome.REJECTED, True, KEY),
    (400, None, "vendor_authentication_error", "m", Outcome.REJECTED, True, KEY),
    (400, None, INVALID, "a poster that says billing", Outcome.REJECTED, False, GO_ON),
    (500, None, "server_error", "the safety system fell over", Outcome.ERRORED, True, GO_ON),
    (200, None, "server_error", "an error event in a stream", Outcome.ERRORED, True, GO_ON),
    (200, "moderation_blocked", USER, "m", Outcome.REFUSED, False, GO_ON),
]


@pytest.mark.parametrize(("status", "code", "type", "message", "outcome", "retryable", "pause"), ROWS)
def test_every_known_error_gets_its_outcome(
    status: int, code: Any, type: Any, message: str, outcome: Outcome, retryable: bool, pause: str | None
) -> None:
    got = verdict(status, body(code, type, message))
    assert (got.outcome, got.retryable) == (outcome, retryable)
    assert (got.pause and (got.pause.model or KEY)) == (MODEL if pause == THIS_MODEL else pause)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 520, 529])
@pytest.mark.parametrize("data", [HTML, b"", b'{"error": "upstream timeout"}', b'{"error": {}}'])
def test_what_a_proxy_says_in_place_of_the_api_leaves_a_doubt(status: int, data: bytes) -> None:
    assert verdict(status, data).outcome is Outcome.UNKNOWN


def test_an_overload_that_says_when_to_come_back_was_answered_before_work() -> None:
    assert verdict(503, b"", told_to_wait=True).outcome is Outcome.THROTTLED
    assert verdict(502, HTML, told_to_wait=True).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [404, 405, 413])
def test_a_page_under_a_client_error_is_a_rejection(status: int) -> None:
    got = verdict(status, HTML)
    assert (got.outcome, got.error_kind, got.pause) == (Outcome.REJECTED, f"http_{status}", None)


def test_a_redirect_stops_the_key_and_says_what_to_set() -> None:
    got = judge(301, ApiError(message="redirected to https://elsewhere/v1"), model=MODEL)
    assert got.outcome is Outcome.REJECTED
    assert got.pause is not None
    assert "IMAGEMILL_ENDPOINT_URL" in got.pause.message


def test_should_retry_overrides_both_ways() -> None:
    assert verdict(400, body("invalid_value"), should_retry=True).retryable
    assert not verdict(500, body(None, "server_error"), should_retry=False).retryable


def test_should_retry_false_does_not_lose_the_jobs_of_a_paused_key() -> None:
    assert verdict(401, body("invalid_api_key"), should_retry=False).retryable


def test_the_apis_code_is_the_kind_and_ours_stands_in_for_it() -> None:
    assert verdict(400, body("unknown_parameter")).error_kind == "unknown_parameter"
    assert verdict(429, body("429", "requests")).error_kind == "rate_limit_exceeded"
    assert verdict(400, body(None, INVALID, REFUSAL)).error_kind == "moderation_blocked"
    assert verdict(502, HTML).error_kind == "http_502"


def test_a_pause_says_what_is_the_matter_and_what_to_do() -> None:
    got = verdict(429, body("credit_balance_exhausted", "insufficient_quota", "You have no credits left."))
    assert got.pause == Pause(
        None,
        "credit_balance_exhausted",
        "You have no credits left. Top the account up or raise its limit, then resume.",
    )


def test_the_key_is_in_no_message() -> None:
    secret = "canary-key-123"
    got = verdict(401, body("invalid_api_key", INVALID, f"Incorrect key: {secret}"), secret=secret)
    assert secret not in repr(got)


def test_a_page_is_told_by_its_title() -> None:
    assert verdict(502, HTML).error_message == "502 Bad Gateway"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"message": "plain", "code": 12}', "plain"),
        (b'{"detail": "of a framework"}', "of a framework"),
        (b'{"error": "a string"}', "a string"),
        (b"just text", "just text"),
        (b"[1, 2]", "[1, 2]"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_errors_in_other_dialects_keep_their_words(data: bytes, message: str) -> None:
    assert read_error(data).message == message


def test_usage_beside_an_error_is_kept() -> None:
    error = error_of({"error": {"code": "moderation_blocked"}, "usage": {"input_tokens": 3}})
    assert error is not None
    assert error.usage == {"input_tokens": 3}


@given(st.integers(100, 999), st.binary(max_size=300))
def test_no_body_raises_and_nothing_is_called_a_success(status: int, data: bytes) -> None:
    assert verdict(status, data).outcome not in (Outcome.SUCCEEDED, Outcome.IMAGE_LOST)


@given(
    st.integers(100, 999),
    st.dictionaries(
        st.sampled_from(["error", "message", "detail", "code", "usage"]),
        st.one_of(
            st.none(),
            st.text(max_size=9),
            st.integers(),
            st.lists(st.integers(), max_size=2),
            st.dictionaries(
                st.sampled_from(["code", "type", "message"]), st.none() | st.integers() | st.text(max_size=9)
            ),
        ),
    ),
)
def test_no_shape_of_error_raises(status: int, document: dict[str, Any]) -> None:
    got = verdict(status, json.dumps(document).encode())
    assert len(got.error_message) <= 500


@pytest.mark.parametrize("status", [408, 409, 500, 502])
def test_an_error_that_this_endpoint_may_bill_is_a_doubt(status: int) -> None:
    error = ApiError(type="server_error", message="it broke", from_api=True)
    assert judge(status, error, model="m").outcome is Outcome.ERRORED
    told = judge(status, error, model="m", may_bill={408, 409, 500, 502})
    assert (told.outcome, told.error_kind, told.retryable) == (Outcome.UNKNOWN, "server_error", True)


def test_a_rejected_request_is_a_doubt_only_where_its_status_is_named() -> None:
    error = ApiError(code="invalid_value", message="no such size", from_api=True)
    assert judge(400, error, model="m", may_bill={500}).outcome is Outcome.REJECTED
    assert judge(400, error, model="m", may_bill={400}).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "moderation_blocked", Outcome.REFUSED),
        (400, "billing_hard_limit_reached", Outcome.REJECTED),
        (429, "rate_limit_exceeded", Outcome.THROTTLED),
        (503, "server_is_overloaded", Outcome.THROTTLED),
    ],
)
def test_what_was_answered_before_any_work_is_no_doubt_whatever_the_endpoint_may_bill(
    status: int, code: str, outcome: Outcome
) -> None:
    error = ApiError(code=code, message="no", from_api=True)
    assert judge(status, error, model="m", may_bill={400, 429, 503}).outcome is outcome
