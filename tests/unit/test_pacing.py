"""Pacing: permits as a stated limit allows them, smoothly, and a pace learned from 429 answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pacing import (
    FORGET_MS,
    STEP_MS,
    Caps,
    Limits,
    in_step,
    pace_now,
    take,
    throttled,
    wait_ms,
    with_caps,
)

NOW = 1_700_000_000_000
CALL = (1, 100)
"""One image, a hundred tokens."""


def granted_over(limits: Limits, seconds: int, wanted: int = 50, call: tuple[int, int] = CALL) -> int:
    """Permits that someone gets who asks ten times a second."""
    total = 0
    for tenth in range(seconds * 10):
        granted, limits = take(limits, NOW + tenth * 100, [call] * wanted)
        total += granted
    return total


def test_without_a_limit_everything_is_granted() -> None:
    granted, state = take(Limits(), NOW, [CALL] * 1000)
    assert (granted, state.window_requests) == (1000, 1000)
    assert wait_ms(state, NOW) == 0


@pytest.mark.parametrize("per_minute", [1, 5, 60, 600, 6000])
def test_over_time_a_limit_is_used_whole_and_never_passed(per_minute: int) -> None:
    granted = granted_over(Limits(requests_per_min=per_minute), 120)
    at_most = 2 * per_minute + per_minute // 60 + 1  # one second's worth at once, and the one under way
    assert 2 * per_minute <= granted <= at_most


def test_at_most_a_seconds_worth_is_spent_at_once() -> None:
    granted, _ = take(Limits(requests_per_min=600), NOW, [CALL] * 100)
    assert granted == 11


def test_images_and_tokens_are_limits_of_their_own() -> None:
    assert granted_over(Limits(images_per_min=60), 60, call=(5, 0)) <= 14
    assert granted_over(Limits(tokens_per_min=6_000), 60, call=(1, 500)) <= 14


def test_the_narrowest_of_several_limits_counts() -> None:
    limits = Limits(requests_per_min=6_000, images_per_min=60, tokens_per_min=10**9)
    assert granted_over(limits, 60) <= 62


def test_a_call_larger_than_a_limit_is_let_through_and_paid_for_by_the_wait() -> None:
    granted, state = take(Limits(images_per_min=5), NOW, [(10, 0), (10, 0)])
    assert granted == 1
    assert wait_ms(state, NOW) == 119_000
    assert take(state, NOW + 119_000, [(10, 0)])[0] == 1


def test_the_wait_that_is_told_is_the_wait_that_is_needed() -> None:
    _, state = take(Limits(requests_per_min=7), NOW, [CALL] * 3)
    wait = wait_ms(state, NOW)
    assert wait > 0
    assert take(state, NOW + wait - 1, [CALL])[0] == 0
    assert take(state, NOW + wait, [CALL])[0] == 1


def test_nothing_is_granted_while_a_429_holds_everybody_back() -> None:
    state = throttled(Limits(), NOW, retry_after_s=3.0, jitter=0.0)
    assert wait_ms(state, NOW) == 3_000
    assert take(state, NOW + 2_999, [CALL])[0] == 0
    assert take(state, NOW + 3_000, [CALL])[0] == 1


def test_a_shorter_advice_does_not_cut_a_longer_one_short() -> None:
    state = throttled(throttled(Limits(), NOW, 30.0, 0.0), NOW + 1, 1.0, 0.0)
    assert wait_ms(state, NOW + 1) == 29_999


def test_without_advice_the_wait_doubles_from_429_to_429_up_to_a_minute() -> None:
    state, moment, waits = Limits(), NOW, []
    for _ in range(8):
        state = throttled(state, moment, None, jitter=1.0)
        waits.append(state.blocked_until - moment)
        moment += 100_000
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]


def test_jitter_spreads_the_return() -> None:
    assert throttled(Limits(), NOW, None, jitter=0.0).blocked_until == NOW + 1_000
    assert throttled(Limits(), NOW, None, jitter=0.5).blocked_until == NOW + 1_500


def test_a_storm_of_429s_is_one_lesson() -> None:
    state = Limits(window_at=NOW - 30_000, window_requests=300)
    for number in range(50):
        state = throttled(state, NOW + number, None, 0.5)
    assert state.strikes == throttled(Limits(), NOW, None, 0.5).strikes
    assert state.pace_per_min == int(0.85 * 600)


def test_a_429_without_a_known_limit_slows_the_pace_to_a_part_of_what_was_seen() -> None:
    state = throttled(Limits(window_at=NOW - 10_000, window_requests=100), NOW, 1.0, 0.0)
    assert pace_now(state, NOW) == 510
    assert granted_over(state, 6) < 6 * 600 / 60


def test_a_second_429_slows_further() -> None:
    first = throttled(Limits(window_at=NOW - 10_000, window_requests=100), NOW, 1.0, 0.0)
    second = throttled(first, NOW + 6_000, 1.0, 0.0)
    assert (second.pace_per_min or 0) < (first.pace_per_min or 0)


def test_a_pace_grows_again_step_by_step_and_is_forgotten_in_the_end() -> None:
    state = throttled(Limits(window_at=NOW - 10_000, window_requests=100), NOW, 1.0, 0.0)
    assert pace_now(state, NOW + STEP_MS) == 561
    assert pace_now(state, NOW + FORGET_MS + 1) is None


def test_a_limit_the_endpoint_named_needs_no_learned_pace() -> None:
    state = throttled(Limits(requests_per_min=100), NOW, 1.0, 0.0)
    assert state.pace_per_min is None
    assert wait_ms(state, NOW) == 1_000


def test_s17_a_clock_set_back_by_an_hour_holds_nobody_up_for_an_hour() -> None:
    granted, spent = take(Limits(requests_per_min=60), NOW, [CALL] * 50)
    held_back = throttled(spent, NOW, 2.0, 0.0)
    earlier = NOW - 3_600_000
    stepped = in_step(held_back, earlier)
    assert 0 < wait_ms(stepped, earlier) <= 60_000
    assert in_step(stepped, earlier + 1_000) is stepped
    assert take(in_step(spent, earlier), earlier, [CALL] * 50)[0] == granted
    assert in_step(spent, NOW - 1_000) is spent


def test_the_window_of_what_was_seen_starts_anew_each_minute() -> None:
    _, state = take(Limits(), NOW, [CALL] * 10)
    assert (state.window_at, state.window_requests) == (NOW, 10)
    _, state = take(state, NOW + 30_000, [CALL] * 5)
    assert (state.window_at, state.window_requests) == (NOW, 15)
    _, state = take(state, NOW + 60_001, [CALL])
    assert (state.window_at, state.window_requests) == (NOW + 60_001, 1)


@pytest.mark.parametrize(
    ("known", "stated", "in_force"), [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)]
)
def test_the_smaller_of_a_known_and_a_stated_limit_is_in_force(
    known: int | None, stated: int | None, in_force: int | None
) -> None:
    for unit in ("requests_per_min", "images_per_min", "tokens_per_min"):
        limits = with_caps(Limits(**{unit: known}), Caps(**{unit: stated}))
        assert getattr(limits, unit) == in_force


@given(
    requests=st.one_of(st.none(), st.integers(1, 10_000)),
    images=st.one_of(st.none(), st.integers(1, 10_000)),
    steps=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 30), st.integers(1, 10)), max_size=20),
)
def test_no_bucket_is_ever_overdrawn_by_more_than_one_call(
    requests: int | None, images: int | None, steps: list[tuple[int, int, int]]
) -> None:
    state, now, used_requests, used_images, largest = Limits(requests, images), NOW, 0, 0, 0
    for passed, wanted, size in steps:
        now += passed
        granted, state = take(state, now, [(size, 0)] * wanted)
        assert 0 <= granted <= wanted
        used_requests += granted
        used_images += granted * size
        largest = max(largest, size)
        allowed_s = (now - NOW) / 1000 + 1
        if requests:
            assert used_requests <= requests / 60 * allowed_s + 1 + 1e-3 * used_requests
        if images:
            assert used_images <= images / 60 * allowed_s + largest + 1e-3 * used_images
