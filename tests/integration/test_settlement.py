"""Settlement: what each outcome does to the job and the money, once, whatever comes twice, late or in between."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, select

from jobs.ledger import control, recovery, schema
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.ledger.settlement import Settled, settle
from jobs.states import JobState, Outcome
from tests.integration.ledgers import (
    CEILING,
    PRICE,
    account_trouble,
    admit_one,
    all_at_once,
    ask,
    at_once,
    attempt_row,
    batch_row,
    book,
    by_policy,
    change,
    cost,
    count,
    errored,
    image_lost,
    job_row,
    live_worker,
    make_due,
    money,
    new_job,
    not_sent,
    open_batch,
    refused,
    rejected,
    states,
    stored,
    succeeded,
    throttled,
    unknown,
)


def refused_with_usage(attempt_id: str) -> Ending:
    return replace(refused(attempt_id), cost=cost(40), price_book="test")


TABLE = [
    # ending, job state, (confirmed, possible, reserved)
    (succeeded, "succeeded", (PRICE, 0, 0)),
    (refused, "refused", (0, 0, 0)),
    (refused_with_usage, "refused", (40, 0, 0)),
    (rejected, "failed", (0, 0, 0)),
    (account_trouble, "queued", (0, 0, 0)),
    (throttled, "queued", (0, 0, 0)),
    (errored, "queued", (0, 0, 0)),
    (unknown, "held", (0, CEILING, 0)),
    (image_lost, "failed", (PRICE, 0, 0)),
    (not_sent, "queued", (0, 0, 0)),
]


@pytest.mark.parametrize(("ending", "state", "sums"), TABLE, ids=lambda value: getattr(value, "__name__", ""))
def test_every_outcome_moves_its_job_and_its_money(
    ledger: Ledger, ending: Callable[[str], Ending], state: str, sums: tuple[int, int, int]
) -> None:
    batch = open_batch(ledger, 2)
    admitted = admit_one(ledger, batch)
    settled = book(ledger, ending(admitted.attempt_id))
    job, attempt = job_row(ledger, batch), attempt_row(ledger, admitted.attempt_id)
    assert settled == Settled(1, int(state != "queued"), ())
    assert job.state == state
    assert money(ledger, batch) == sums
    assert (job.charged_nano, job.possible_nano) == sums[:2]
    assert (attempt.charged_nano or 0, attempt.possible_nano) == sums[:2]
    assert attempt.outcome == ending("x").outcome.value
    assert attempt.ended_at >= attempt.admitted_at


@pytest.mark.parametrize("resolution", [Outcome.BILLED_LOST, Outcome.NOT_BILLED])
def test_a_doubt_that_the_books_resolve_is_charged_or_freed_and_its_job_failed(
    ledger: Ledger, resolution: Outcome
) -> None:
    batch = open_batch(ledger)
    admitted = admit_one(ledger, batch)
    book(ledger, unknown(admitted.attempt_id))
    billed = resolution is Outcome.BILLED_LOST
    book(ledger, Ending(admitted.attempt_id, resolution, cost=cost() if billed else None, price_book="books"))
    assert job_row(ledger, batch).state == "failed"
    assert money(ledger, batch) == (PRICE if billed else 0, 0, 0)


@pytest.mark.parametrize("ending", [row[0] for row in TABLE])
def test_settling_the_same_ending_again_changes_nothing(ledger: Ledger, ending: Callable[[str], Ending]) -> None:
    batch = open_batch(ledger, 2)
    admitted = admit_one(ledger, batch)
    book(ledger, ending(admitted.attempt_id))
    before = (job_row(ledger, batch), attempt_row(ledger, admitted.attempt_id), money(ledger, batch))
    assert book(ledger, ending(admitted.attempt_id)) == Settled(0, 0, ())
    assert (job_row(ledger, batch), attempt_row(ledger, admitted.attempt_id), money(ledger, batch)) == before


def test_an_answer_given_twice_in_one_group_is_booked_once(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    assert book(ledger, succeeded(one), succeeded(one)).attempts == 1
    assert money(ledger, batch) == (PRICE, 0, 0)


def test_the_same_answer_settled_by_two_processes_at_once_is_booked_once(ledger: Ledger) -> None:
    batch = open_batch(ledger, 8)
    ids = [one.attempt_id for one in ask(ledger, batch, 8).admitted]
    booked = all_at_once([lambda: book(ledger, *map(succeeded, ids)).attempts for _ in range(4)])
    assert sorted(booked) == [0, 0, 0, 8]
    assert money(ledger, batch) == (8 * PRICE, 0, 0)
    assert batch_row(ledger, batch).state == "done"


def test_an_attempt_the_ledger_does_not_know_is_passed_over(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    admitted = admit_one(ledger, batch)
    assert book(ledger, succeeded("a_nobody"), succeeded(admitted.attempt_id)).attempts == 1


def test_a_success_stores_its_images_charges_and_facts(ledger: Ledger) -> None:
    batch = open_batch(ledger, [new_job(1, n=2)])
    one = admit_one(ledger, batch).attempt_id
    book(ledger, replace(succeeded(one, images=2), facts={"size": "1024x1024"}, duration_ms=1234))
    attempt = attempt_row(ledger, one)
    with ledger.read() as tx:
        images = tx.execute(select(schema.images).order_by(schema.images.c.index)).all()
        charges = tx.execute(select(schema.charges)).all()
    assert [(image.index, image.path, image.surplus) for image in images] == [
        (0, stored(one, 0).path, False),
        (1, stored(one, 1).path, False),
    ]
    assert [(charge.meter, charge.amount_nano, charge.basis) for charge in charges] == [("image", PRICE, "usage")]
    assert (attempt.facts, attempt.usage) == ('{"size":"1024x1024"}', '{"total_tokens":1}')
    assert (attempt.duration_ms, attempt.request_id, attempt.priced_by) == (1234, "req_1", "usage")
    assert job_row(ledger, batch).images == 2


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


def test_a_late_answer_withdraws_a_repeat_that_was_not_admitted_yet(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=1)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert job_row(ledger, batch).state == "queued"
    assert book(ledger, succeeded(one)).batches_done == (batch,)
    make_due(ledger, batch)
    assert ask(ledger, batch).admitted == []
    assert job_row(ledger, batch).state == "succeeded"


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


def test_account_trouble_uses_up_no_attempt(ledger: Ledger) -> None:
    batch = open_batch(ledger, max_attempts=1)
    for _ in range(3):
        book(ledger, account_trouble(admit_one(ledger, batch).attempt_id))
    job = job_row(ledger, batch)
    assert (job.state, job.attempts, job.counted) == ("queued", 3, 0)


def test_throttling_uses_up_no_attempt(ledger: Ledger) -> None:
    batch = open_batch(ledger, max_attempts=1)
    for _ in range(4):
        book(ledger, throttled(admit_one(ledger, batch).attempt_id), retry=at_once)
    job = job_row(ledger, batch)
    assert (job.state, job.attempts, job.counted) == ("queued", 4, 0)


def test_a_job_fails_when_its_attempts_are_used_up(ledger: Ledger) -> None:
    batch = open_batch(ledger, max_attempts=2)
    book(ledger, errored(admit_one(ledger, batch).attempt_id), retry=at_once)
    assert job_row(ledger, batch).state == "queued"
    book(ledger, errored(admit_one(ledger, batch).attempt_id), retry=at_once)
    job = job_row(ledger, batch)
    assert (job.state, job.error_kind) == ("failed", "server_error")


@pytest.mark.parametrize("ending", [errored, throttled])
def test_a_job_fails_when_its_time_is_used_up(ledger: Ledger, ending: Callable[[str], Ending]) -> None:
    batch = open_batch(ledger, time_limit_s=600)
    one = admit_one(ledger, batch).attempt_id
    first = schema.jobs.c.first_admitted_at
    change(ledger, schema.jobs, schema.jobs.c.batch_id == batch, first_admitted_at=first - 599_500)
    book(ledger, ending(one))
    assert job_row(ledger, batch).state == "failed"


def test_a_retry_is_due_when_the_decision_says_by_the_databases_clock(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, errored(one), retry=lambda job, ending: 70_000)
    assert job_row(ledger, batch).due_at == attempt_row(ledger, one).ended_at + 70_000


def test_unknown_calls_are_repeated_only_as_often_as_the_batch_allows(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=2)
    for expected in ("queued", "queued", "held"):
        book(ledger, unknown(admit_one(ledger, batch).attempt_id), retry=at_once)
        assert job_row(ledger, batch).state == expected
    assert money(ledger, batch) == (0, 3 * CEILING, 0)


def test_a_charge_without_a_price_stays_possible_and_is_null_in_the_books(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, succeeded(one, nano=None))
    attempt = attempt_row(ledger, one)
    assert (attempt.charged_nano, attempt.possible_nano, attempt.priced_by) == (None, CEILING, "none")
    with ledger.read() as tx:
        assert tx.execute(select(schema.charges.c.amount_nano)).scalars().all() == [None]
        assert tx.execute(select(schema.attempt_tallies.c.unpriced)).scalars().all() == [1]
    assert money(ledger, batch) == (0, CEILING, 0)
    assert job_row(ledger, batch).state == "succeeded"


def test_a_charge_above_its_ceiling_is_posted_in_full(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id, nano=3 * CEILING))
    assert money(ledger, batch) == (3 * CEILING, 0, 0)


def test_a_batch_is_done_with_its_last_job_and_not_before(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    first, second = (one.attempt_id for one in ask(ledger, batch, 2).admitted)
    assert book(ledger, succeeded(first)).batches_done == ()
    assert batch_row(ledger, batch).state == "open"
    assert book(ledger, refused(second)).batches_done == (batch,)
    row = batch_row(ledger, batch)
    assert row.state == "done"
    assert row.ended_at >= row.opened_at


def test_the_last_jobs_of_a_batch_ending_at_once_close_it_once(ledger: Ledger) -> None:
    batch = open_batch(ledger, 12)
    ids = [one.attempt_id for one in ask(ledger, batch, 12).admitted]
    settled = all_at_once([lambda one=one: book(ledger, succeeded(one)) for one in ids])
    assert [done for each in settled for done in each.batches_done] == [batch]
    assert batch_row(ledger, batch).state == "done"


def test_a_cancelled_batch_settles_its_calls_in_flight(ledger: Ledger) -> None:
    batch = open_batch(ledger, 5)
    fine, failing, doubtful = (one.attempt_id for one in ask(ledger, batch, 3).admitted)
    assert ledger.write(control.cancel, batch) == 2
    book(ledger, succeeded(fine), errored(failing), unknown(doubtful))
    assert states(ledger, batch) == {"succeeded": 1, "cancelled": 3, "held": 1}
    assert money(ledger, batch) == (PRICE, CEILING, 0)
    assert batch_row(ledger, batch).state == "cancelled"


def test_a_call_that_may_have_been_paid_is_held_although_its_batch_was_cancelled(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=3)
    one = admit_one(ledger, batch).attempt_id
    ledger.write(control.cancel, batch)
    book(ledger, unknown(one))
    assert job_row(ledger, batch).state == "held"


def test_one_group_settles_attempts_of_many_batches_and_outcomes(ledger: Ledger) -> None:
    batches = [open_batch(ledger, 3) for _ in range(4)]
    worker = live_worker(ledger)
    endings = [
        ending(one.attempt_id)
        for batch in batches
        for ending, one in zip((succeeded, refused, unknown), ask(ledger, batch, 3, worker).admitted, strict=True)
    ]
    assert book(ledger, *endings) == Settled(12, 12, tuple(sorted(batches)))
    for batch in batches:
        assert states(ledger, batch) == {"succeeded": 1, "refused": 1, "held": 1}
        assert money(ledger, batch) == (PRICE, CEILING, 0)


def test_groups_of_the_same_batches_in_other_orders_never_block_each_other(ledger: Ledger) -> None:
    batches = [open_batch(ledger, 12) for _ in range(3)]
    worker = live_worker(ledger)
    per_batch = [[one.attempt_id for one in ask(ledger, batch, 12, worker).admitted] for batch in batches]
    groups = [[ids[number] for ids in (per_batch if number % 2 else per_batch[::-1])] for number in range(12)]
    settled = all_at_once([lambda group=group: book(ledger, *map(succeeded, group)) for group in groups])
    assert sum(each.attempts for each in settled) == 36
    assert sorted(done for each in settled for done in each.batches_done) == sorted(batches)


def test_admission_settlement_sweep_and_people_at_once_leave_right_books(ledger: Ledger) -> None:
    """Everything that changes a batch, side by side; the totals are recounted when the test ends."""
    batch = open_batch(ledger, 60, budget=40 * CEILING, retry_unknown=1)
    worker = live_worker(ledger)
    endings = [succeeded, errored, unknown, throttled, refused, not_sent]

    def work(seed: int) -> None:
        for turn in range(8):
            for place, one in enumerate(ask(ledger, batch, 3, worker).admitted):
                book(ledger, endings[(seed + turn + place) % len(endings)](one.attempt_id), retry=at_once)

    def interfere() -> None:
        for _ in range(8):
            ledger.write(control.pause, batch, "operator")
            ledger.write(control.retry, batch, [JobState.HELD, JobState.REFUSED])
            ledger.write(control.resume, batch)
            ledger.write(control.set_budget, batch, 45 * CEILING)

    def beat() -> None:
        for _ in range(20):
            assert ledger.write(recovery.beat, worker, in_flight=1)

    all_at_once([*[lambda seed=seed: work(seed) for seed in range(5)], interfere, beat])
    assert sum(states(ledger, batch).values()) == 60
    assert count(ledger, schema.attempts, schema.attempts.c.outcome.is_(None)) == 0
    assert money(ledger, batch)[2] == 0


@pytest.mark.parametrize("first", ["answer", "retry"])
def test_the_last_answer_and_a_retry_at_once_leave_no_queued_job_in_a_batch_that_is_done(
    ledger: Ledger, first: str
) -> None:
    batch = open_batch(ledger, 2)
    failed, last = (one.attempt_id for one in ask(ledger, batch, 2).admitted)
    book(ledger, rejected(failed))
    acts = {
        "answer": lambda tx: settle(tx, [succeeded(last)], by_policy),
        "retry": lambda tx: control.retry(tx, batch, [JobState.FAILED]),
    }
    one_after_the_other(ledger, acts.pop(first), *acts.values())
    assert batch_row(ledger, batch).state == "open"
    assert states(ledger, batch) == {"queued": 1, "succeeded": 1}


def one_after_the_other(
    ledger: Ledger, first: Callable[[Connection], object], second: Callable[[Connection], object]
) -> None:
    """The second transaction starts when the first has done everything but commit."""
    acted, second_ended = threading.Event(), threading.Event()

    def act_and_linger(tx: Connection) -> None:
        first(tx)
        acted.set()
        second_ended.wait(0.3)

    def follow() -> None:
        acted.wait(30)
        ledger.write(second)
        second_ended.set()

    all_at_once([partial(ledger.write, act_and_linger), follow])
