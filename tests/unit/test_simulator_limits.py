"""Rate limits refill steadily, bind together and say how long to wait."""

from dataclasses import replace
from typing import Literal

import pytest

from worker.simulator.config import SimulatorConfig
from worker.simulator.errors import ApiError
from worker.simulator.limits import Limiter, go_duration

ONE = {"requests": 1, "images": 1, "tokens": 100}
IMAGES = SimulatorConfig(images_per_minute=5)


def refused(limiter: Limiter, now_s: float, costs: dict[str, int] = ONE) -> ApiError:
    with pytest.raises(ApiError) as caught:
        limiter.take("key", "gpt-image-1", costs, now_s)
    assert caught.value.status == 429
    assert caught.value.code == "rate_limit_exceeded"
    return caught.value


def test_without_limits_nothing_is_refused_and_nothing_said() -> None:
    assert Limiter(SimulatorConfig()).take("key", "gpt-image-1", ONE, 0.0) == {}


def test_a_minutes_allowance_may_be_spent_at_once_and_then_refills() -> None:
    limiter = Limiter(IMAGES)
    remaining = [limiter.take("key", "gpt-image-1", ONE, 0.0) for _ in range(5)]
    assert [headers["x-ratelimit-remaining-images"] for headers in remaining] == ["4", "3", "2", "1", "0"]
    assert refused(limiter, 0.0).headers["retry-after-ms"] == "12000"
    assert refused(limiter, 11.9).headers["Retry-After"] == "1"
    assert limiter.take("key", "gpt-image-1", ONE, 12.0)["x-ratelimit-reset-images"] == "1m0s"


@pytest.mark.parametrize(
    ("told", "headers"),
    [("advice", {"Retry-After", "retry-after-ms"}), ("nothing", set())],
    ids=["advice", "nothing"],
)
def test_an_endpoint_may_keep_its_limits_to_itself(told: Literal["advice", "nothing"], headers: set[str]) -> None:
    limiter = Limiter(replace(IMAGES, burst=False, limits_told=told))
    assert limiter.take("key", "gpt-image-1", ONE, 0.0) == {}
    assert refused(limiter, 11.9).headers.keys() == headers
    assert limiter.take("key", "gpt-image-1", ONE, 12.0) == {}


def test_the_refusal_names_the_limit() -> None:
    error = refused(Limiter(IMAGES), 0.0, ONE | {"images": 6})
    assert "images per minute" in error.message
    assert "Limit: 5/1min" in error.message
    assert error.headers["x-ratelimit-limit-images"] == "5"


def test_a_refused_call_takes_nothing() -> None:
    limiter = Limiter(replace(IMAGES, requests_per_minute=100))
    refused(limiter, 0.0, ONE | {"images": 6})
    assert limiter.take("key", "gpt-image-1", ONE, 0.0)["x-ratelimit-remaining-requests"] == "99"


def test_the_tightest_limit_binds() -> None:
    limiter = Limiter(replace(IMAGES, tokens_per_minute=150))
    limiter.take("key", "gpt-image-1", ONE, 0.0)
    error = refused(limiter, 0.0)
    assert (error.type, error.headers["retry-after-ms"]) == ("tokens", "20000")


def test_keys_and_models_have_limits_of_their_own() -> None:
    limiter = Limiter(SimulatorConfig(requests_per_minute=1))
    limiter.take("key", "gpt-image-1", ONE, 0.0)
    limiter.take("key", "gpt-image-2", ONE, 0.0)
    limiter.take("other", "gpt-image-1", ONE, 0.0)
    refused(limiter, 0.0)


def test_without_burst_calls_come_out_evenly() -> None:
    limiter = Limiter(replace(IMAGES, images_per_minute=120, burst=False))
    limiter.take("key", "gpt-image-1", ONE, 0.0)
    limiter.take("key", "gpt-image-1", ONE, 0.0)
    assert refused(limiter, 0.0).headers["retry-after-ms"] == "500"
    limiter.take("key", "gpt-image-1", ONE, 0.5)


def test_without_burst_a_large_call_is_let_in_and_waited_for_after() -> None:
    limiter = Limiter(replace(IMAGES, images_per_minute=60, burst=False))
    limiter.take("key", "gpt-image-1", ONE | {"images": 10}, 0.0)
    assert refused(limiter, 0.0).headers["retry-after-ms"] == "10000"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3661.25, "1h1m1.25s")],
)
def test_durations_are_printed_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
