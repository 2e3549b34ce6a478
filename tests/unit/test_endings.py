"""Endings: the pure decision of what the end of an attempt changes, row by row and as laws over all cases."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger.endings import AttemptFacts, Ending, JobFacts, Money, as_charged, resolve
from jobs.money import Cost
from jobs.states import COUNTED, RESOLVED, UNFINISHED, JobState, Outcome
from tests.unit.endings import (
    BILLED,
    CEILING,
    DOUBT,
    FREED,
    HELD,
    JOB,
    OPEN,
    PRICED,
    RETRIED,
    UNPRICED,
    again,
    change,
    ending,
    enough,
)

FINAL = {
    Outcome.SUCCEEDED: JobState.SUCCEEDED,
    Outcome.REFUSED: JobState.REFUSED,
    Outcome.IMAGE_LOST: JobState.FAILED,
    Outcome.BILLED_LOST: JobState.FAILED,
    Outcome.NOT_BILLED: JobState.FAILED,
}


@pytest.mark.parametrize(("outcome", "state"), FINAL.items())
def test_what_is_final_is_final_whatever_the_retry_policy_says(outcome: Outcome, state: JobState) -> None:
    found = change(OPEN, JOB, ending(outcome))
    assert (found.state, found.due_in_ms) == (state, 0)


@pytest.mark.parametrize("outcome", RETRIED)
def test_what_may_heal_is_queued_as_the_policy_says_and_fails_when_it_says_enough(outcome: Outcome) -> None:
    assert change(OPEN, JOB, ending(outcome)).state is JobState.QUEUED
    assert change(OPEN, JOB, ending(outcome)).due_in_ms == 5_000
    assert change(OPEN, JOB, ending(outcome), enough).state is JobState.FAILED


def test_what_was_never_sent_is_due_at_once_without_asking_the_policy() -> None:
    found = change(OPEN, JOB, ending(Outcome.NOT_SENT), enough)
    assert (found.state, found.due_in_ms, found.counted) == (JobState.QUEUED, 0, 0)


def test_account_trouble_is_due_at_once_without_asking_the_policy() -> None:
    found = change(OPEN, JOB, ending(Outcome.REJECTED, account_trouble=True), enough)
    assert (found.state, found.due_in_ms, found.counted) == (JobState.QUEUED, 0, 0)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_doubts_are_held_once_the_allowed_repeats_are_used_up(allowed: int) -> None:
    states = [
        change(OPEN, replace(JOB, unknowns=before, retry_unknown=allowed), ending(Outcome.UNKNOWN)).state
        for before in range(3)
    ]
    assert states == [JobState.QUEUED] * allowed + [JobState.HELD] * (3 - allowed)


def test_a_doubt_that_may_be_repeated_is_held_when_attempts_or_time_are_used_up() -> None:
    assert change(OPEN, replace(JOB, retry_unknown=9), ending(Outcome.UNKNOWN), enough).state is JobState.HELD


@pytest.mark.parametrize("outcome", [*RETRIED, Outcome.NOT_SENT])
def test_nothing_goes_back_to_the_queue_of_a_cancelled_batch(outcome: Outcome) -> None:
    assert change(OPEN, replace(JOB, batch_cancelled=True), ending(outcome)).state is JobState.CANCELLED


def test_a_doubt_of_a_cancelled_batch_is_held() -> None:
    job = replace(JOB, batch_cancelled=True, retry_unknown=5)
    assert change(OPEN, job, ending(Outcome.UNKNOWN)).state is JobState.HELD


@pytest.mark.parametrize("outcome", Outcome)
def test_exactly_the_counted_outcomes_use_up_an_attempt(outcome: Outcome) -> None:
    assert change(OPEN, JOB, ending(outcome)).counted == int(outcome in COUNTED)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.SUCCEEDED, Money(-CEILING, 0, 600)),
        (Outcome.IMAGE_LOST, Money(-CEILING, 0, 600)),
        (Outcome.REFUSED, Money(-CEILING, 0, 0)),
        (Outcome.REJECTED, Money(-CEILING, 0, 0)),
        (Outcome.THROTTLED, Money(-CEILING, 0, 0)),
        (Outcome.ERRORED, Money(-CEILING, 0, 0)),
        (Outcome.NOT_SENT, Money(-CEILING, 0, 0)),
        (Outcome.UNKNOWN, Money(-CEILING, CEILING, 0)),
    ],
)
def test_money_of_an_open_attempt_leaves_the_reserve(outcome: Outcome, expected: Money) -> None:
    assert change(OPEN, JOB, ending(outcome)).money == expected


def test_a_refusal_with_usage_is_charged() -> None:
    found = change(OPEN, JOB, ending(Outcome.REFUSED, cost=PRICED))
    assert (found.charged_nano, found.money) == (600, Money(-CEILING, 0, 600))


@pytest.mark.parametrize(("attempt", "job"), [(OPEN, JOB), (DOUBT, HELD)])
def test_a_charge_without_price_stays_possible_at_its_ceiling(attempt: AttemptFacts, job: JobFacts) -> None:
    found = change(attempt, job, ending(Outcome.SUCCEEDED, cost=UNPRICED))
    assert (found.charged_nano, found.possible_nano) == (None, CEILING)
    assert found.money.possible == (0 if attempt.outcome else CEILING)


def test_an_answer_to_an_earlier_attempt_does_not_move_a_job_whose_next_one_runs() -> None:
    job = replace(JOB, attempts=2)
    found = change(OPEN, job, ending(Outcome.REFUSED))
    assert (found.state, found.shows_error) == (JobState.RUNNING, False)


def test_an_image_for_a_job_that_has_its_result_is_surplus() -> None:
    found = change(OPEN, replace(JOB, state=JobState.SUCCEEDED), ending(Outcome.SUCCEEDED))
    assert (found.state, found.surplus) == (JobState.SUCCEEDED, True)


@pytest.mark.parametrize(("before", "state"), [(CEILING, JobState.QUEUED), (CEILING + 1, JobState.HELD)])
def test_a_doubt_is_held_where_its_repeat_would_start_above_the_wall_for_doubts(
    before: int, state: JobState
) -> None:
    job = replace(JOB, retry_unknown=9, batch_possible_nano=before, max_possible_nano=2 * CEILING)
    assert change(OPEN, job, ending(Outcome.UNKNOWN)).state is state


@pytest.mark.parametrize(
    ("what", "new_key"),
    [
        (ending(Outcome.ERRORED, http_status=500), True),
        (ending(Outcome.THROTTLED, http_status=429), True),
        (ending(Outcome.ERRORED, http_status=None), False),
        (ending(Outcome.NOT_SENT, http_status=None), False),
        (ending(Outcome.UNKNOWN), False),
        (ending(Outcome.UNKNOWN, http_status=502), False),
        (ending(Outcome.NOT_BILLED, http_status=502), False),
    ],
)
def test_the_key_changes_only_when_the_endpoint_itself_has_answered(what: Ending, new_key: bool) -> None:
    assert change(OPEN, JOB, what).new_key is new_key


@given(
    attempt=st.sampled_from([OPEN, DOUBT, BILLED, FREED]),
    state=st.sampled_from(list(JobState)),
    outcome=st.sampled_from(list(Outcome)),
    cost=st.sampled_from([None, PRICED, UNPRICED]),
    unknowns=st.integers(0, 3),
    retry_unknown=st.integers(0, 3),
    doubts=st.integers(0, 2),
    trouble=st.booleans(),
    cancelled=st.booleans(),
    decision=st.sampled_from([again, enough]),
)
def test_money_is_neither_made_nor_lost_and_final_states_never_move(
    attempt: AttemptFacts,
    state: JobState,
    outcome: Outcome,
    cost: Cost | None,
    unknowns: int,
    retry_unknown: int,
    doubts: int,
    trouble: bool,
    cancelled: bool,
    decision: object,
) -> None:
    held = attempt.ceiling_nano if attempt.outcome is Outcome.UNKNOWN else 0
    attempt = replace(attempt, other_doubts=doubts)
    job = replace(JOB, state=state, unknowns=unknowns, retry_unknown=retry_unknown, batch_cancelled=cancelled)
    what = as_charged(attempt, ending(outcome, cost=cost, account_trouble=trouble))
    found = resolve(attempt, job, what, decision)  # type: ignore[arg-type]
    if found is None:
        assert outcome is Outcome.UNKNOWN or attempt.outcome in RESOLVED
        return
    # What was reserved or possible for the attempt before is gone, what is possible now has come.
    assert found.money.reserved == (0 if attempt.outcome else -CEILING)
    assert found.money.possible == found.possible_nano - held
    assert found.money.confirmed == (found.charged_nano or 0) - (attempt.charged_nano or 0)
    assert found.possible_nano in (0, CEILING)
    if state not in UNFINISHED and state is not JobState.HELD:
        assert found.state is state
    # Held for a doubt, and no longer than there is one.
    if found.state is JobState.HELD and state is not JobState.HELD:
        assert outcome is Outcome.UNKNOWN
    if state is JobState.HELD and attempt.outcome is Outcome.UNKNOWN and not doubts:
        assert found.state is not JobState.HELD
    assert found.due_in_ms == 0 or found.state is JobState.QUEUED
