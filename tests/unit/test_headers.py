"""Headers: when to come back, what the limits are, and that no header can do harm."""

import math
from dataclasses import astuple
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.calls import RateFacts
from worker.headers import go_duration_s, read_headers, retry_after_s

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 2 "}, 2.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "later"}, None),
    ],
)
def test_s14_retry_after_is_read_in_each_of_its_forms(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, NOW) == expected


def test_s14_a_retry_after_date_is_measured_on_the_servers_own_clock() -> None:
    headers = {"retry-after": "Sun, 22 Nov 2026 15:00:20 GMT", "date": "Sun, 22 Nov 2026 15:00:00 GMT"}
    assert retry_after_s(headers, NOW) == 20.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3.5s", 3723.5),
        ("850µs", 0.00085),
        ("17", 17.0),
        ("", None),
        ("m5", None),
        ("5 s", None),
        ("-1s", None),
        ("5d", None),
    ],
)
def test_go_durations_are_seconds(text: str, expected: float | None) -> None:
    assert go_duration_s(text) == (pytest.approx(expected) if expected is not None else None)


def test_limits_come_from_the_ratelimit_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "100000",
        "x-ratelimit-remaining-tokens": "99000",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-limit-images": "5",
        "x-ratelimit-remaining-images": "0",
        "x-ratelimit-reset-images": "1s",
    }
    assert read_headers(headers, NOW).rate == RateFacts(
        limit_requests=500,
        remaining_requests=499,
        reset_requests_s=0.12,
        limit_tokens=100000,
        remaining_tokens=99000,
        reset_tokens_s=360.0,
        limit_images=5,
        remaining_images=0,
        reset_images_s=1.0,
    )


@pytest.mark.parametrize("name", ["x-request-id", "x-api-request-id", "x-oneapi-request-id"])
def test_the_request_id_is_found_under_gateways_names_too(name: str) -> None:
    assert read_headers({name: "req_7"}, NOW).request_id == "req_7"


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("False", False), ("maybe", None)])
def test_should_retry_is_a_word_of_the_server(text: str, expected: bool | None) -> None:
    assert read_headers({"x-should-retry": text}, NOW).should_retry is expected


NAMES = st.sampled_from(
    [
        "retry-after",
        "retry-after-ms",
        "date",
        "x-should-retry",
        "x-request-id",
        *(
            f"x-ratelimit-{what}-{of}"
            for what in ("limit", "remaining", "reset")
            for of in ("requests", "tokens", "images")
        ),
    ]
)
VALUES = st.one_of(
    st.text(max_size=80),
    st.integers().map(str),
    st.floats().map(str),
    st.from_regex(r"\A(\d{0,20}\.?\d*(h|ms|m|s))*\Z", fullmatch=True),
    st.from_regex(r"\A[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [-+]?\w+\Z", fullmatch=True),
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_no_header_raises_and_no_figure_is_infinite(headers: dict[str, str]) -> None:
    facts = read_headers(headers, NOW)
    for figure in astuple(facts.rate):
        assert figure is None or (math.isfinite(figure) and figure >= 0)
