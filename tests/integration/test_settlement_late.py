"""Late answers: each resolves the doubt about its own attempt, once, and a job gets one result."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from jobs.ledger import control, schema
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.ledger.settlement import Settled
from jobs.states import JobState, Outcome
from tests.integration.ledgers import (
    CEILING,
    PRICE,
    admit_one,
    ask,
    at_once,
    attempt_row,
    batch_row,
    book,
    errored,
    image_lost,
    job_row,
    make_due,
    money,
    not_sent,
    open_batch,
    refused,
    rejected,
    succeeded,
    unknown,
)


def test_a_late_answer_resolves_its_doubt_once_and_gives_the_held_job_its_image(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert batch_row(ledger, batch).state == "done"
    assert book(ledger, succeeded(one)).attempts == 1
    assert book(ledger, succeeded(one)).attempts == 0
    job = job_row(ledger, batch)
    assert (job.state, job.images, job.error_kind) == ("succeeded", 1, None)
    assert money(ledger, batch) == (PRICE, 0, 0)


def test_a_late_answer_that_queues_its_job_opens_a_batch_that_was_done(ledger: Ledger) -> None:
    """Its process died elsewhere: the sweep doubted all it held, then its spool says what was never sent."""
    batch = open_batch(ledger, 2)
    first, second = (one.attempt_id for one in ask(ledger, batch, 2).admitted)
    book(ledger, unknown(first), unknown(second))
    assert batch_row(ledger, batch).state == "done"
    book(ledger, not_sent(first))
    assert (batch_row(ledger, batch).state, batch_row(ledger, batch).ended_at) == ("open", None)
    make_due(ledger, batch)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id))
    assert batch_row(ledger, batch).state == "done"


def test_a_doubt_that_was_nothing_gives_the_attempt_back(ledger: Ledger) -> None:
    batch = open_batch(ledger, max_attempts=1)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert job_row(ledger, batch).counted == 1
    book(ledger, not_sent(one))
    assert (job_row(ledger, batch).state, job_row(ledger, batch).counted) == ("queued", 0)


def test_a_late_answer_withdraws_a_repeat_that_was_not_admitted_yet(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert job_row(ledger, batch).state == "queued"
    assert book(ledger, succeeded(one)).batches_done == (batch,)
    make_due(ledger, batch)
    assert ask(ledger, batch).admitted == []
    assert job_row(ledger, batch).state == "succeeded"


@pytest.mark.parametrize(("ending", "state"), [(refused, "refused"), (image_lost, "failed")])
def test_a_late_answer_after_which_only_a_person_repeats_withdraws_the_repeat_too(
    ledger: Ledger, ending: Callable[[str], Ending], state: str
) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert book(ledger, ending(one)).batches_done == (batch,)
    make_due(ledger, batch)
    assert ask(ledger, batch).admitted == []
    assert job_row(ledger, batch).state == state


def test_a_late_refusal_leaves_a_job_in_the_queue_that_a_person_has_put_there(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    ledger.write(control.retry, batch, [JobState.HELD])
    book(ledger, refused(one))
    assert job_row(ledger, batch).state == "queued"
    assert money(ledger, batch) == (0, 0, 0)


def test_a_late_refusal_of_one_doubt_leaves_the_repeat_for_another(ledger: Ledger) -> None:
    """Its images may exist; whoever allowed two doubts allowed the repeat."""
    batch = open_batch(ledger, retry_unknown=2)
    first = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(first), retry=at_once)
    book(ledger, unknown(admit_one(ledger, batch).attempt_id), retry=at_once)
    book(ledger, refused(first))
    assert job_row(ledger, batch).state == "queued"


def test_a_late_answer_beside_the_repeat_under_way_makes_the_repeat_surplus(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    first = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(first), retry=at_once)
    second = admit_one(ledger, batch).attempt_id
    book(ledger, succeeded(first))
    assert money(ledger, batch) == (PRICE, 0, CEILING)
    book(ledger, succeeded(second))
    assert_one_result_and_one_surplus(ledger, batch, first, second)


def test_a_late_answer_and_the_repeats_in_one_group_make_one_result(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    first = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(first), retry=at_once)
    second = admit_one(ledger, batch).attempt_id
    settled = book(ledger, succeeded(first), succeeded(second))
    assert settled == Settled(2, 1, (batch,))
    assert_one_result_and_one_surplus(ledger, batch, first, second)


def assert_one_result_and_one_surplus(ledger: Ledger, batch: str, first: str, second: str) -> None:
    with ledger.read() as tx:
        images = {row.attempt_id: row.surplus for row in tx.execute(select(schema.images))}
    assert images == {first: False, second: True}
    job = job_row(ledger, batch)
    assert (job.state, job.images, job.charged_nano) == ("succeeded", 1, 2 * PRICE)
    assert money(ledger, batch) == (2 * PRICE, 0, 0)


def test_a_late_answer_to_a_job_that_failed_meanwhile_is_paid_for_but_is_no_result(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    first = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(first), retry=at_once)
    book(ledger, rejected(admit_one(ledger, batch).attempt_id))
    book(ledger, succeeded(first))
    assert job_row(ledger, batch).state == "failed"
    assert money(ledger, batch) == (PRICE, 0, 0)


def test_a_late_refusal_ends_the_held_job(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    book(ledger, refused(one))
    assert job_row(ledger, batch).state == "refused"
    assert money(ledger, batch) == (0, 0, 0)


def test_a_job_with_a_second_doubt_stays_held_when_the_first_is_freed(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    first = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(first), retry=at_once)
    second = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(second))
    assert money(ledger, batch) == (0, 2 * CEILING, 0)
    book(ledger, Ending(first, Outcome.NOT_BILLED))
    assert job_row(ledger, batch).state == "held"
    book(ledger, Ending(second, Outcome.NOT_BILLED))
    assert job_row(ledger, batch).state == "failed"
    assert money(ledger, batch) == (0, 0, 0)


def test_a_late_paid_answer_without_image_or_price_ends_the_held_job(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    book(ledger, image_lost(one, nano=None))
    assert job_row(ledger, batch).state == "failed"
    assert money(ledger, batch) == (0, CEILING, 0)


def test_a_late_answer_to_a_job_that_a_person_queued_again_still_counts(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert ledger.write(control.retry, batch, [JobState.HELD]) == 1
    assert book(ledger, succeeded(one)).attempts == 1
    assert job_row(ledger, batch).state == "succeeded"
    assert batch_row(ledger, batch).state == "done"


def test_a_second_doubt_about_a_settled_attempt_is_ignored(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, succeeded(one))
    assert book(ledger, unknown(one)).attempts == 0
    assert attempt_row(ledger, one).outcome == "succeeded"


def test_a_zombies_first_answer_does_not_end_the_repeat_that_is_under_way(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    first = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(first), retry=at_once)
    second = admit_one(ledger, batch)
    book(ledger, errored(first))
    assert job_row(ledger, batch).state == "running"
    book(ledger, succeeded(second.attempt_id))
    assert job_row(ledger, batch).state == "succeeded"
