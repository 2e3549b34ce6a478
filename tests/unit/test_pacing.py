"""Pacing: permits as a stated limit allows them, smoothly, and a pace learned from 429 answers."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pace import KEPT, LONGEST_ADVICE_MS
from jobs.pacing import (
    USED,
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
    """Permits that someone gets who asks as soon as there is one."""
    total, moment = 0, NOW
    while moment < NOW + seconds * 1000:
        granted, limits = take(limits, moment, [call] * wanted)
        total += granted
        moment += max(1, wait_ms(limits, moment))
    return total


def refused(limits: Limits, now: int, advice_s: float | None = 0.0, sent_at: int | None = None) -> Limits:
    """After a 429 to a call for one image."""
    return throttled(limits, now, now if sent_at is None else sent_at, 1, advice_s, jitter=1.0)


def seen(images: int, seconds: int) -> Limits:
    """No limit known, and so many images sent since so long."""
    return Limits(window_at=NOW - seconds * 1000, window_images=images)


def test_without_a_limit_everything_is_granted() -> None:
    granted, state = take(Limits(), NOW, [CALL] * 1000)
    assert (granted, state.window_images) == (1000, 1000)
    assert wait_ms(state, NOW) == 0


@pytest.mark.parametrize("per_minute", [1, 5, 60, 600, 6000])
def test_over_time_a_limit_is_nearly_used_and_never_passed(per_minute: int) -> None:
    granted = granted_over(Limits(requests_per_min=per_minute), 120)
    assert 0.95 * 2 * per_minute <= granted <= 2 * per_minute + per_minute // 120 + 1


@pytest.mark.parametrize("per_minute", [1, 5, 50, 60])
def test_a_limit_of_up_to_one_a_second_comes_one_at_a_time(per_minute: int) -> None:
    granted, state = take(Limits(images_per_min=per_minute), NOW, [CALL] * 3)
    assert granted == 1
    assert wait_ms(state, NOW) / 60_000 == pytest.approx(1 / (USED * per_minute), abs=1e-4)


def test_at_most_half_a_seconds_worth_is_spent_at_once() -> None:
    granted, _ = take(Limits(requests_per_min=600), NOW, [CALL] * 100)
    assert granted == 5


def test_images_and_tokens_are_limits_of_their_own() -> None:
    assert granted_over(Limits(images_per_min=60), 60, call=(5, 0)) <= 14
    assert granted_over(Limits(tokens_per_min=6_000), 60, call=(1, 500)) <= 14


def test_the_narrowest_of_several_limits_counts() -> None:
    limits = Limits(requests_per_min=6_000, images_per_min=60, tokens_per_min=10**9)
    assert granted_over(limits, 60) <= 62


def test_a_call_larger_than_a_limit_is_let_through_and_paid_for_by_the_wait() -> None:
    granted, state = take(Limits(images_per_min=5), NOW, [(10, 0), (10, 0)])
    assert granted == 1
    assert wait_ms(state, NOW) == pytest.approx(120_000 / USED, abs=1)
    assert take(state, NOW + wait_ms(state, NOW), [(10, 0)])[0] == 1


def test_the_wait_that_is_told_is_the_wait_that_is_needed() -> None:
    _, state = take(Limits(requests_per_min=7), NOW, [CALL] * 3)
    wait = wait_ms(state, NOW)
    assert wait > 0
    assert take(state, NOW + wait - 1, [CALL])[0] == 0
    assert take(state, NOW + wait, [CALL])[0] == 1


def test_nothing_is_granted_while_a_429_holds_everybody_back() -> None:
    state = refused(Limits(), NOW, advice_s=3.0)
    assert wait_ms(state, NOW) == 3_000
    assert take(state, NOW + 2_999, [CALL])[0] == 0
    assert take(state, NOW + 3_000, [CALL])[0] == 1


def test_a_shorter_advice_does_not_cut_a_longer_one_short() -> None:
    state = refused(refused(Limits(), NOW, 30.0), NOW + 1, 1.0)
    assert wait_ms(state, NOW + 1) == 29_999


def test_advice_of_years_is_taken_for_an_hour() -> None:
    assert refused(Limits(), NOW, 1e9).blocked_until == NOW + LONGEST_ADVICE_MS
    assert refused(refused(Limits(), NOW), NOW, 1e9, sent_at=NOW - 1).blocked_until == NOW + LONGEST_ADVICE_MS


def test_without_advice_the_wait_doubles_from_429_to_429_up_to_ten_seconds() -> None:
    state, moment, waits = Limits(), NOW, []
    for _ in range(7):
        state = refused(state, moment, advice_s=None)
        waits.append(state.blocked_until - moment)
        moment += 100_000
    assert waits == [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]


def test_advice_that_did_not_help_twice_is_stretched() -> None:
    state, moment, waits = Limits(), NOW, []
    for _ in range(5):
        state = refused(state, moment, advice_s=0.1)
        waits.append(state.blocked_until - moment)
        moment += 100_000
    assert waits == [100, 100, 2_000, 4_000, 8_000]


def test_jitter_spreads_the_return() -> None:
    assert throttled(Limits(), NOW, NOW, 1, None, jitter=0.0).blocked_until == NOW + 250
    assert throttled(Limits(), NOW, NOW, 1, None, jitter=1.0).blocked_until == NOW + 500


def test_429s_to_calls_of_before_the_pace_was_slowed_are_one_lesson() -> None:
    state = once = refused(seen(300, 30), NOW)
    for number in range(50):
        state = refused(state, NOW + number, sent_at=NOW - number)
    assert (state.strikes, state.ceiling_per_min, state.slowed_per_min) == (
        1,
        once.ceiling_per_min,
        once.slowed_per_min,
    )
    assert wait_ms(refused(state, NOW + 50, 2.0, sent_at=NOW), NOW + 50) == 2_000


def test_a_429_without_a_known_limit_slows_to_just_below_what_was_let_in() -> None:
    state = refused(seen(101, 10), NOW)
    assert state.ceiling_per_min == 600
    assert pace_now(state, NOW) == pytest.approx(KEPT * 600)
    assert granted_over(state, 6) <= KEPT * 60 + 1


def test_a_start_is_not_taken_for_a_pace_that_lasts() -> None:
    """All slots of a fleet are filled at once; seconds later nobody would send as many."""
    _, state = take(Limits(), NOW, [CALL] * 128)
    assert refused(state, NOW + 300).ceiling_per_min == pytest.approx(127 * 6)


def test_the_first_calls_of_a_paced_run_are_taken_for_its_pace() -> None:
    assert refused(seen(3, 2), NOW).ceiling_per_min == pytest.approx(60)


def test_with_a_known_limit_the_ceiling_is_not_above_it() -> None:
    state = refused(Limits(images_per_min=50, window_at=NOW - 10_000, window_images=100), NOW)
    assert state.ceiling_per_min == USED * 50


def test_a_429_to_the_first_call_afterwards_keeps_the_ceiling_to_come_back_to() -> None:
    state, moment = refused(seen(101, 10), NOW), NOW
    for _ in range(40):
        moment = max(moment + 1, state.blocked_until)
        _, state = take(state, moment, [CALL])
        state = refused(state, moment + 200, sent_at=moment)
    assert state.ceiling_per_min == 600
    assert pace_now(state, state.blocked_until) == 20
    _, state = take(state, state.blocked_until, [CALL])
    assert (pace_now(state, state.tried_at + 20_000) or 0) >= KEPT * 600


def test_a_429_after_calls_were_let_in_lowers_the_ceiling() -> None:
    state = refused(seen(101, 10), NOW)
    moment = NOW
    for _ in range(300):
        moment += wait_ms(state, moment)
        _, state = take(state, moment, [CALL])
    pace = pace_now(state, moment)
    state = refused(state, moment + 200, sent_at=moment)
    assert state.strikes == 1
    assert pace is not None
    assert KEPT * pace < (state.ceiling_per_min or 0) <= pace


def test_an_endpoint_that_counts_by_the_minute_is_asked_as_often_as_its_advice_amounts_to() -> None:
    """Fifty calls went through within 30 s, and the rest of the minute is to be waited."""
    state = Limits(
        ceiling_per_min=100.0, slowed_per_min=97.0, tried_at=NOW - 30_000, tried_images=51, grows_from=NOW - 30_000
    )
    assert refused(state, NOW, 30.0).ceiling_per_min == pytest.approx(50, rel=0.03)


def test_a_pace_that_is_not_used_does_not_grow_beyond_its_ceiling() -> None:
    state, moment = refused(seen(101, 10), NOW), NOW
    for _ in range(500):
        moment += 10_000
        granted, state = take(state, moment, [CALL])
        assert granted == 1
    assert (pace_now(state, moment) or 0) <= 600


def test_a_lifted_limit_is_noticed() -> None:
    state, moment = refused(seen(101, 10), NOW), NOW
    while moment < NOW + 300_000:
        moment += max(1, wait_ms(state, moment))
        _, state = take(state, moment, [CALL] * 20)
    assert (pace_now(state, moment) or 0) > 10 * 600


def test_s17_a_clock_set_back_by_an_hour_holds_nobody_up_for_an_hour() -> None:
    granted, spent = take(Limits(requests_per_min=60), NOW, [CALL] * 50)
    held_back = refused(spent, NOW, 2.0)
    earlier = NOW - 3_600_000
    stepped = in_step(held_back, earlier)
    assert 0 < wait_ms(stepped, earlier) <= 60_000
    assert in_step(stepped, earlier + 1_000) is stepped
    assert take(in_step(spent, earlier), earlier, [CALL] * 50)[0] == granted
    assert in_step(spent, NOW - 1_000) is spent


def test_what_was_seen_is_of_the_last_minute() -> None:
    state, moment = Limits(), NOW
    for _ in range(100):
        moment += 1_200
        _, state = take(state, moment, [CALL])
    assert refused(state, moment).ceiling_per_min == pytest.approx(50, abs=1.5)
    _, state = take(state, moment + 600_000, [CALL] * 6)
    assert refused(state, moment + 660_000).ceiling_per_min == 5


@pytest.mark.parametrize(
    ("known", "stated", "in_force"), [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)]
)
def test_the_smaller_of_a_known_and_a_stated_limit_is_in_force(
    known: int | None, stated: int | None, in_force: int | None
) -> None:
    for unit in ("requests_per_min", "images_per_min", "tokens_per_min"):
        knows: dict[str, Any] = {unit: known}
        limits = with_caps(replace(Limits(), **knows), Caps(**{unit: stated}))
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
