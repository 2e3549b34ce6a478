"""When a job is tried again: bounded by number and by time, advised by the server, jittered."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger.endings import Ending, JobFacts
from jobs.states import JobState, Outcome
from worker.retries import RetryPolicy, backoff_s, next_try

POLICY = RetryPolicy()
JOB = JobFacts(
    state=JobState.RUNNING,
    attempts=1,
    counted=1,
    unknowns=0,
    images=0,
    age_ms=1000,
    batch_cancelled=False,
    max_attempts=5,
    retry_unknown=0,
    time_limit_ms=6 * 3600 * 1000,
)
ERRORED = Ending("a1", Outcome.ERRORED, retryable=True)
THROTTLED = Ending("a1", Outcome.THROTTLED, retryable=True)


def test_an_error_that_may_heal_is_tried_again_after_a_backoff() -> None:
    assert next_try(POLICY, JOB, ERRORED, draw=0.0) == 1000
    assert next_try(POLICY, replace(JOB, attempts=3, counted=3), ERRORED, draw=0.0) == 4000


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.ERRORED])
def test_an_error_that_cannot_heal_is_final(outcome: Outcome) -> None:
    assert next_try(POLICY, JOB, Ending("a1", outcome), draw=0.0) is None


def test_attempts_are_bounded() -> None:
    assert next_try(POLICY, replace(JOB, attempts=4, counted=4), ERRORED, draw=0.0) is not None
    assert next_try(POLICY, replace(JOB, attempts=5, counted=5), ERRORED, draw=0.0) is None


def test_rate_limits_do_not_use_up_attempts_but_time() -> None:
    worn = replace(JOB, attempts=400, counted=5)
    assert next_try(POLICY, worn, THROTTLED, draw=0.0) == 7_500
    assert next_try(POLICY, replace(worn, age_ms=worn.time_limit_ms), THROTTLED, draw=0.0) is None


def test_the_servers_advice_wins_over_the_backoff() -> None:
    advised = replace(THROTTLED, retry_after_s=30.0)
    assert next_try(POLICY, JOB, advised, draw=0.0) == 30_000
    assert 30_000 < (next_try(POLICY, JOB, advised, draw=0.99) or 0) <= 33_000


def test_a_retry_after_of_zero_is_no_advice() -> None:
    assert (next_try(POLICY, JOB, replace(ERRORED, retry_after_s=0.0), draw=0.0) or 0) >= 1000


def test_advice_beyond_the_jobs_time_ends_it() -> None:
    assert next_try(POLICY, JOB, replace(THROTTLED, retry_after_s=7 * 3600.0), draw=0.0) is None


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_every_wait_lies_between_half_and_whole_of_the_doubled_one(tries: int, draw: float) -> None:
    whole = min(120.0, 2.0 * 2 ** min(max(tries - 1, 0), 30))
    assert whole / 2 <= backoff_s(POLICY, tries, draw) <= whole
