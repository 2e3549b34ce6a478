"""Late endings: what an answer, the books or a person change after an attempt had ended in doubt."""

from dataclasses import replace

import pytest

from jobs.ledger.endings import AttemptFacts, Money, as_charged, resolve
from jobs.states import RESOLVED, UNFINISHED, JobState, Outcome
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


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.SUCCEEDED, Money(0, -CEILING, 600)),
        (Outcome.IMAGE_LOST, Money(0, -CEILING, 600)),
        (Outcome.BILLED_LOST, Money(0, -CEILING, 600)),
        (Outcome.NOT_BILLED, Money(0, -CEILING, 0)),
        (Outcome.ERRORED, Money(0, -CEILING, 0)),
    ],
)
def test_money_of_a_resolved_doubt_leaves_the_possible(outcome: Outcome, expected: Money) -> None:
    assert change(DOUBT, HELD, ending(outcome)).money == expected


@pytest.mark.parametrize("settled", [one for one in Outcome if one not in (Outcome.UNKNOWN, *RESOLVED)])
@pytest.mark.parametrize("outcome", Outcome)
def test_a_settled_attempt_is_never_settled_again(settled: Outcome, outcome: Outcome) -> None:
    assert resolve(replace(OPEN, outcome=settled), JOB, ending(outcome), again) is None


def test_a_doubt_about_a_doubt_says_nothing_new() -> None:
    assert resolve(DOUBT, HELD, ending(Outcome.UNKNOWN), again) is None


@pytest.mark.parametrize("state", [JobState.HELD, JobState.QUEUED, JobState.RUNNING])
def test_a_late_image_is_the_result_of_a_job_that_waits_for_one(state: JobState) -> None:
    found = change(DOUBT, replace(HELD, state=state, attempts=2), ending(Outcome.SUCCEEDED))
    assert (found.state, found.surplus) == (JobState.SUCCEEDED, False)


@pytest.mark.parametrize("state", [state for state in JobState if state not in (*UNFINISHED, JobState.HELD)])
def test_a_late_image_moves_no_job_that_has_ended(state: JobState) -> None:
    found = change(DOUBT, replace(HELD, state=state), ending(Outcome.SUCCEEDED))
    assert (found.state, found.surplus, found.shows_error) == (state, True, False)
    assert found.money.confirmed == 600


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.HELD])
def test_a_late_answer_without_image_moves_only_a_held_job(state: JobState) -> None:
    assert change(DOUBT, replace(HELD, state=state), ending(Outcome.ERRORED)).state is state


def test_a_late_error_lets_a_held_job_try_again() -> None:
    assert change(DOUBT, HELD, ending(Outcome.ERRORED)).state is JobState.QUEUED
    assert change(DOUBT, HELD, ending(Outcome.ERRORED), enough).state is JobState.FAILED


def test_a_late_answer_without_image_leaves_a_job_held_for_its_other_doubts() -> None:
    one_of_two = replace(DOUBT, other_doubts=1)
    assert change(one_of_two, replace(HELD, unknowns=2), ending(Outcome.NOT_BILLED)).state is JobState.HELD


def test_a_late_unpriced_loss_is_no_doubt_any_more() -> None:
    assert change(DOUBT, HELD, ending(Outcome.IMAGE_LOST, cost=UNPRICED)).state is JobState.FAILED


def test_a_resolved_job_is_queued_afresh_where_the_person_wishes() -> None:
    job = replace(HELD, counted=5, batch_cancelled=True)
    found = change(DOUBT, job, ending(Outcome.NOT_BILLED, http_status=None, retryable=True), enough)
    assert (found.state, found.counted, found.unknowns, found.fresh) == (JobState.QUEUED, 0, 0, True)
    assert not found.new_key


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.HELD])
def test_a_resolution_moves_no_job_that_has_moved_on(state: JobState) -> None:
    found = change(DOUBT, replace(HELD, state=state), ending(Outcome.BILLED_LOST, retryable=True))
    assert (found.state, found.fresh, found.counted) == (state, False, HELD.counted)


@pytest.mark.parametrize(("attempt", "confirmed"), [(FREED, 600), (BILLED, 600 - CEILING)])
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.IMAGE_LOST, Outcome.REFUSED])
def test_a_paid_answer_after_a_resolution_corrects_the_charge(
    attempt: AttemptFacts, confirmed: int, outcome: Outcome
) -> None:
    found = change(attempt, replace(JOB, state=JobState.FAILED), ending(outcome, cost=PRICED))
    assert (found.money, found.charged_nano, found.corrects) == (Money(0, 0, confirmed), 600, True)


@pytest.mark.parametrize("attempt", [BILLED, FREED])
@pytest.mark.parametrize(
    "outcome", [*RETRIED, *sorted(RESOLVED), Outcome.REFUSED, Outcome.NOT_SENT, Outcome.UNKNOWN]
)
def test_an_unpaid_answer_and_a_second_resolution_do_not_outweigh_the_first(
    attempt: AttemptFacts, outcome: Outcome
) -> None:
    assert resolve(attempt, JOB, ending(outcome), again) is None


@pytest.mark.parametrize("kind", sorted(RESOLVED))
def test_an_image_after_a_resolution_is_the_result_of_the_job_that_failed_by_it(kind: str) -> None:
    job = replace(JOB, state=JobState.FAILED, error_kind=kind)
    found = change(FREED, job, ending(Outcome.SUCCEEDED))
    assert (found.state, found.surplus) == (JobState.SUCCEEDED, False)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.HELD])
def test_an_image_after_a_resolution_withdraws_the_repeat(state: JobState) -> None:
    assert (
        change(FREED, replace(JOB, state=state, attempts=2), ending(Outcome.SUCCEEDED)).state is JobState.SUCCEEDED
    )


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.REFUSED, JobState.CANCELLED])
def test_an_image_after_a_resolution_is_surplus_where_the_job_ended_otherwise(state: JobState) -> None:
    found = change(BILLED, replace(JOB, state=state, error_kind="server_error"), ending(Outcome.SUCCEEDED))
    assert (found.state, found.surplus) == (state, True)


def test_an_answer_without_a_price_leaves_the_amount_that_the_books_named() -> None:
    priced = as_charged(BILLED, ending(Outcome.SUCCEEDED, cost=UNPRICED))
    found = change(BILLED, JOB, priced)
    assert (priced.cost, found.charged_nano, found.money) == (None, CEILING, Money())
    assert as_charged(FREED, ending(Outcome.SUCCEEDED, cost=UNPRICED)).cost is UNPRICED
    assert change(FREED, JOB, ending(Outcome.SUCCEEDED, cost=UNPRICED)).money == Money(0, CEILING, 0)
