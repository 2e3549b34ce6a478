"""Settlement: what each outcome does to the job and the money, once, whatever comes twice, late or in between."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from jobs.ledger import schema
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.ledger.settlement import Settled
from jobs.states import Outcome
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
    change,
    cost,
    errored,
    image_lost,
    job_row,
    money,
    new_job,
    not_sent,
    open_batch,
    refused,
    rejected,
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
