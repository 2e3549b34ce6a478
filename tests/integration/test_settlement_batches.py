"""Settlement and whole batches: they end with their last job, and groups side by side never block each other."""

import threading
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import Connection

from jobs.ledger import control, recovery, schema
from jobs.ledger.engine import Ledger
from jobs.ledger.settlement import Settled, settle
from jobs.states import JobState
from tests.integration.ledgers import (
    CEILING,
    PRICE,
    admit_one,
    all_at_once,
    ask,
    at_once,
    batch_row,
    book,
    by_policy,
    count,
    errored,
    job_row,
    live_worker,
    money,
    not_sent,
    open_batch,
    refused,
    rejected,
    states,
    succeeded,
    throttled,
    unknown,
)


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
