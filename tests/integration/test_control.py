"""What people do to a batch: pause, resume, cancel, retry, and the budget."""

import pytest

from jobs.ledger import control
from jobs.ledger.engine import Ledger
from jobs.states import JobState
from tests.integration.ledgers import (
    CEILING,
    admit_one,
    ask,
    at_once,
    batch_row,
    book,
    errored,
    job_row,
    money,
    new_job,
    open_batch,
    refused,
    rejected,
    states,
    succeeded,
    unknown,
)


def test_pause_and_resume_move_only_a_batch_that_is_there_to_be_moved(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    assert not ledger.write(control.resume, batch)
    assert ledger.write(control.pause, batch, "operator")
    assert not ledger.write(control.pause, batch, "again")
    assert batch_row(ledger, batch).pause_reason == "operator"
    assert ledger.write(control.resume, batch)
    assert batch_row(ledger, batch).pause_reason is None
    assert not ledger.write(control.pause, "b_nothing", "operator")


def test_calls_in_flight_end_as_usual_in_a_paused_batch(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    one = admit_one(ledger, batch)
    ledger.write(control.pause, batch, "operator")
    book(ledger, succeeded(one.attempt_id))
    assert states(ledger, batch) == {"succeeded": 1, "queued": 1}
    assert batch_row(ledger, batch).state == "paused"


def test_a_batch_whose_last_call_ended_while_paused_is_done_when_resumed(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch)
    ledger.write(control.pause, batch, "operator")
    assert book(ledger, succeeded(one.attempt_id)).batches_done == ()
    assert ledger.write(control.resume, batch)
    assert batch_row(ledger, batch).state == "done"


@pytest.mark.parametrize("paused", [False, True])
def test_cancel_ends_the_queued_jobs_and_tells_how_many(ledger: Ledger, paused: bool) -> None:
    rows = [new_job(row, model="dall-e-2" if row % 2 else "dall-e-3") for row in range(1, 6)]
    batch = open_batch(ledger, rows)
    ask(ledger, batch, 2)
    if paused:
        ledger.write(control.pause, batch, "operator")
    assert ledger.write(control.cancel, batch) == 3
    assert states(ledger, batch) == {"running": 2, "cancelled": 3}
    assert batch_row(ledger, batch).state == "cancelled"


def test_cancelling_a_batch_that_has_ended_does_nothing(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id))
    assert ledger.write(control.cancel, batch) == 0
    assert batch_row(ledger, batch).state == "done"


def test_retry_queues_the_chosen_states_only_and_opens_the_batch_again(ledger: Ledger) -> None:
    batch = open_batch(ledger, 4)
    endings = (succeeded, refused, rejected, unknown)
    admitted = ask(ledger, batch, 4).admitted
    book(ledger, *(ending(one.attempt_id) for ending, one in zip(endings, admitted, strict=True)))
    assert batch_row(ledger, batch).state == "done"
    with ledger.read() as tx:
        assert control.worst_case(tx, batch, [JobState.FAILED, JobState.REFUSED]) == (2, 2 * CEILING)
    assert ledger.write(control.retry, batch, [JobState.FAILED, JobState.REFUSED]) == 2
    row = batch_row(ledger, batch)
    assert (row.state, row.ended_at) == ("open", None)
    assert states(ledger, batch) == {"succeeded": 1, "held": 1, "queued": 2}
    assert [one.row for one in ask(ledger, batch, 4).admitted] == [2, 3]


def test_retry_of_nothing_leaves_a_batch_that_is_done_alone(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id))
    assert ledger.write(control.retry, batch, [JobState.FAILED]) == 0
    assert batch_row(ledger, batch).state == "done"


def test_a_job_retried_by_a_person_has_its_attempts_and_its_time_anew(ledger: Ledger) -> None:
    batch = open_batch(ledger, max_attempts=1, time_limit_s=600)
    book(ledger, errored(admit_one(ledger, batch).attempt_id))
    assert job_row(ledger, batch).state == "failed"
    ledger.write(control.retry, batch, [JobState.FAILED])
    job = job_row(ledger, batch)
    assert (job.counted, job.first_admitted_at, job.attempts) == (0, None, 1)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id))
    assert job_row(ledger, batch).state == "succeeded"


def test_a_held_job_that_a_person_sends_again_keeps_its_key_and_its_possible_money(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    first = admit_one(ledger, batch)
    book(ledger, unknown(first.attempt_id))
    ledger.write(control.retry, batch, [JobState.HELD])
    second = admit_one(ledger, batch)
    assert second.idempotency_key == first.idempotency_key
    assert money(ledger, batch) == (0, CEILING, CEILING)


def test_a_retried_job_that_ends_unknown_again_is_held_again(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    for _ in range(2):
        book(ledger, unknown(admit_one(ledger, batch).attempt_id), retry=at_once)
        assert job_row(ledger, batch).state == "held"
        ledger.write(control.retry, batch, [JobState.HELD])


def test_a_cancelled_batch_opens_again_with_the_jobs_that_are_retried(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3)
    ledger.write(control.cancel, batch)
    assert ledger.write(control.retry, batch, [JobState.CANCELLED]) == 3
    assert len(ask(ledger, batch, 3).admitted) == 3


def test_a_batch_stops_at_its_budget_only_when_no_call_can_free_any_of_it(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2, budget=CEILING)
    one = admit_one(ledger, batch)
    assert not ledger.write(control.stop_at_budget, batch)
    book(ledger, unknown(one.attempt_id))
    assert ledger.write(control.stop_at_budget, batch)
    row = batch_row(ledger, batch)
    assert (row.state, row.pause_reason) == ("paused", "budget")


def test_more_budget_lets_a_stopped_batch_go_on(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3, budget=0)
    ledger.write(control.stop_at_budget, batch)
    ledger.write(control.set_budget, batch, 2 * CEILING)
    ledger.write(control.resume, batch)
    assert len(ask(ledger, batch, 3).admitted) == 2
    ledger.write(control.set_budget, batch, None)
    assert len(ask(ledger, batch, 3).admitted) == 1


def test_a_budget_below_what_is_spent_admits_nothing_more(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3, budget=10 * CEILING)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id))
    ledger.write(control.set_budget, batch, 1)
    assert ask(ledger, batch, 3).admitted == []
