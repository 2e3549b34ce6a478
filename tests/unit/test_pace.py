"""The learned pace: the curve by which it grows, and a whole fleet that keeps to limits nobody named, by seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pace import HOLD_CALLS, KEPT, RECOVER_MS, back_after_ms, grown, slowed, slowed_again
from jobs.pacing import Caps
from tests.unit.paced import Fleet, bucket, strict, window

SEEDS = range(5)
CAP = 50
"""Images a minute."""


@given(
    ceiling=st.floats(1, 100_000), part=st.floats(0.001, 1), ms=st.integers(0, 10**7), more=st.integers(0, 10**6)
)
def test_a_pace_never_falls_by_itself_and_is_at_its_ceiling_when_it_says_so(
    ceiling: float, part: float, ms: int, more: int
) -> None:
    slowed_to = KEPT * part * ceiling
    assert slowed_to * 0.999 <= grown(ceiling, slowed_to, ms) <= grown(ceiling, slowed_to, ms + more) * 1.000001
    assert grown(ceiling, slowed_to, back_after_ms(ceiling, slowed_to)) == pytest.approx(ceiling)


def test_from_however_low_it_is_just_below_its_ceiling_after_the_time_to_recover() -> None:
    assert grown(600, 20, RECOVER_MS) == pytest.approx(KEPT * 600)
    assert grown(600, 20, RECOVER_MS // 2) == pytest.approx((KEPT * 600 + 20) / 2)


def test_it_holds_for_so_many_calls() -> None:
    assert back_after_ms(CAP, KEPT * CAP) * CAP / 60_000 == pytest.approx(HOLD_CALLS)


@given(
    pace=st.floats(0.1, 1e5),
    ceiling=st.none() | st.floats(1, 1e5),
    let_in=st.integers(0, 1000),
    allowed=st.floats(0, 1e5),
)
def test_a_429_slows_and_by_no_more_than_half_at_a_time(
    pace: float, ceiling: float | None, let_in: int, allowed: float
) -> None:
    new, slowed_to = slowed(pace, ceiling, let_in, allowed)
    assert slowed_to == KEPT * new
    assert pace / 2 <= new <= max(1.0, pace)


@given(slowed_to=st.floats(0.5, 1e5), strikes=st.integers(2, 16))
def test_another_429_at_once_slows_further_down_to_a_floor(slowed_to: float, strikes: int) -> None:
    assert slowed_to / 2 <= slowed_again(slowed_to, strikes) <= slowed_to
    assert slowed_again(20.0, strikes) == 20.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stated_limit_is_used_to_95_percent_with_hardly_a_429(seed: int) -> None:
    fleet = Fleet(strict(CAP), seed, caps=Caps(images_per_min=CAP)).run(300)
    assert fleet.used(CAP, 0, 300) >= 0.95
    assert fleet.turned_away(0, 300) <= 0.02


@pytest.mark.parametrize("advises", [True, False], ids=["advised", "unadvised"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_nobody_named_is_found_and_used_to_95_percent(seed: int, advises: bool) -> None:
    fleet = Fleet(strict(CAP), seed, advises=advises).run(900)
    assert fleet.used(CAP, 60, 120) >= 0.75
    assert fleet.used(CAP, 180, 900) >= 0.95
    assert fleet.turned_away(180, 900) <= 0.02


@pytest.mark.parametrize("per_minute", [5, 600])
def test_low_and_high_limits_are_found_as_well(per_minute: int) -> None:
    limiter = strict(per_minute) if per_minute < 60 else bucket(per_minute, per_minute / 60)
    fleet = Fleet(limiter, in_flight=100).run(1500)
    assert fleet.used(per_minute, 600, 1500) >= (0.88 if per_minute == 5 else 0.95)
    assert fleet.turned_away(600, 1500) <= 0.02


@pytest.mark.parametrize(
    "limiter", [lambda: bucket(CAP, CAP), lambda: window(CAP)], ids=["a bucket of a minute", "minutes of the clock"]
)
def test_limits_that_allow_bursts_are_used_whole(limiter: type) -> None:
    fleet = Fleet(limiter()).run(1200)
    assert fleet.used(CAP, 480, 1200) >= 0.98
    assert fleet.turned_away(480, 1200) <= 0.02


@pytest.mark.parametrize("advice_s", [1.0, None], ids=["advised", "unadvised"])
@pytest.mark.parametrize("storm", [(60, 90), (60, 660)], ids=["30 s", "10 min"])
@pytest.mark.parametrize("seed", SEEDS)
def test_s14_full_speed_is_back_within_a_minute_of_a_storm(
    seed: int, storm: tuple[int, int], advice_s: float | None
) -> None:
    ends = storm[1]
    fleet = Fleet(strict(CAP), seed, caps=Caps(images_per_min=CAP), storm=storm, storm_advice_s=advice_s).run(
        ends + 200
    )
    assert fleet.used(CAP, ends + 30, ends + 60) >= 0.9
    assert fleet.used(CAP, ends + 60, ends + 200) >= 0.95
    asked = len(fleet.between(*storm))
    assert asked <= 10 + (storm[1] - storm[0]) / 6


def test_s14_a_storm_that_stops_a_fleet_with_no_limit_is_recovered_from_as_well() -> None:
    fleet = Fleet(lambda now_s, images: 0.0, storm=(60, 90)).run(240)
    before = len(fleet.between(0, 60))
    assert len(fleet.between(150, 210)) >= 0.95 * before


@pytest.mark.parametrize(("latency_s", "seconds"), [(0.2, 120), (10.0, 900)])
@pytest.mark.parametrize("seed", SEEDS)
def test_calls_turned_away_by_chance_hardly_slow_a_fleet(seed: int, latency_s: float, seconds: int) -> None:
    fleet = Fleet(lambda now_s, images: 0.0, seed, in_flight=16, latency_s=latency_s, scattered=0.015).run(seconds)
    undisturbed = Fleet(lambda now_s, images: 0.0, seed, in_flight=16, latency_s=latency_s).run(seconds)
    assert len(fleet.calls) >= 0.9 * len(undisturbed.calls)


def test_calls_of_several_images_are_paced_by_their_images() -> None:
    fleet = Fleet(bucket(CAP, 10), images=(1, 2, 4)).run(900)
    assert fleet.used(CAP, 180, 900) >= 0.93
    assert fleet.turned_away(180, 900) <= 0.04


def test_after_a_quiet_time_the_pace_is_still_known() -> None:
    fleet = Fleet(strict(CAP)).run(300)
    fleet.demand_per_min = 10
    fleet.run(7200)
    assert len(fleet.between(3900, 7500)) < 650
    fleet.demand_per_min = None
    fleet.run(300)
    assert fleet.turned_away(7500, 7800) <= 0.02
    assert fleet.used(CAP, 7500, 7800) >= 0.94
