"""What comes after a doubt was resolved without an answer: a late answer corrects the books, and only by adding."""

import pytest
from sqlalchemy import select

from jobs.ledger import clock, control, schema
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.money import Cost
from jobs.states import RESOLVED, JobState, Outcome
from tests.integration.ledgers import (
    CEILING,
    PRICE,
    admit_one,
    assert_totals_agree,
    attempt_row,
    book,
    change,
    image_lost,
    job_row,
    money,
    new_job,
    open_batch,
    rejected,
    succeeded,
    unknown,
)

STATED = 700


def resolved(attempt_id: str, outcome: Outcome, *, again: bool = False) -> Ending:
    billed = outcome is Outcome.BILLED_LOST
    cost = Cost.stated(STATED) if billed else None
    return Ending(attempt_id, outcome, error_kind=outcome.value, cost=cost, price_book="operator", retryable=again)


def resolved_attempt(ledger: Ledger, outcome: Outcome, *, again: bool = False) -> tuple[str, str]:
    """(batch, attempt): a call that was in doubt and was resolved without an answer."""
    batch = open_batch(ledger, [new_job(1, tags={"season": "autumn"})])
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    book(ledger, resolved(one, outcome, again=again))
    return batch, one


def charges(ledger: Ledger, attempt_id: str) -> list[tuple[str, int | None, int, str]]:
    table = schema.charges
    with ledger.read() as tx:
        rows = tx.execute(select(table).where(table.c.attempt_id == attempt_id).order_by(table.c.id))
        return [(row.meter, row.amount_nano, row.correction, row.basis) for row in rows]


@pytest.mark.parametrize(("again", "state"), [(False, JobState.FAILED), (True, JobState.QUEUED)])
@pytest.mark.parametrize("outcome", sorted(RESOLVED))
def test_a_resolved_job_is_not_held_for_an_earlier_charge_without_price(
    ledger: Ledger, outcome: Outcome, again: bool, state: JobState
) -> None:
    """What that may cost is possible money too, but no doubt: nothing can bring its image any more."""
    batch = open_batch(ledger)
    book(ledger, image_lost(admit_one(ledger, batch).attempt_id, nano=None))
    assert ledger.write(control.retry, batch, [JobState.FAILED]) == 1
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    assert job_row(ledger, batch).state == JobState.HELD
    book(ledger, resolved(one, outcome, again=again))
    assert job_row(ledger, batch).state == state
    assert money(ledger, batch)[1] == CEILING
    assert_totals_agree(ledger)


def test_a_call_stated_as_billed_is_charged_under_a_meter_of_its_own(ledger: Ledger) -> None:
    batch, one = resolved_attempt(ledger, Outcome.BILLED_LOST)
    assert money(ledger, batch) == (STATED, 0, 0)
    assert charges(ledger, one) == [("stated", STATED, 0, "stated")]
    attempt = attempt_row(ledger, one)
    assert (attempt.outcome, attempt.charged_nano, attempt.priced_by) == ("billed_lost", STATED, None)


@pytest.mark.parametrize("outcome", [Outcome.BILLED_LOST, Outcome.NOT_BILLED])
def test_an_answer_after_a_resolution_is_posted_as_a_correction_and_gives_the_job_its_image(
    ledger: Ledger, outcome: Outcome
) -> None:
    batch, one = resolved_attempt(ledger, outcome)
    settled = book(ledger, succeeded(one))
    assert [(each.attempt_id, each.corrects) for each in settled.booked] == [(one, True)]
    assert money(ledger, batch) == (PRICE, 0, 0)
    job = job_row(ledger, batch)
    assert (job.state, job.images, job.charged_nano, job.error_kind) == ("succeeded", 1, PRICE, None)
    taken_back = [("stated", STATED, 0, "stated"), ("stated", -STATED, 1, "stated")]
    before = taken_back if outcome is Outcome.BILLED_LOST else []
    assert charges(ledger, one) == [*before, ("image", PRICE, 1, "usage")]
    assert book(ledger, succeeded(one)).attempts == 0


def test_an_answer_a_day_after_the_resolution_leaves_right_tallies_behind(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The totals are recounted when the test ends."""
    true_now = clock.now
    monkeypatch.setattr(clock, "now", lambda tx: true_now(tx) - 86_400_000)
    _, one = resolved_attempt(ledger, Outcome.BILLED_LOST)
    monkeypatch.undo()
    book(ledger, succeeded(one))
    with ledger.read() as tx:
        table = schema.charge_tallies
        left = tx.execute(select(table.c.day).where(table.c.outcome == "billed_lost", table.c.charges != 0)).all()
        days = tx.execute(select(table.c.day).where(table.c.meter == "stated", table.c.charges == 1)).all()
    assert left == []
    assert len(days) == 2


def test_a_paid_answer_without_images_after_a_resolution_moves_money_and_no_job(ledger: Ledger) -> None:
    batch, one = resolved_attempt(ledger, Outcome.NOT_BILLED)
    book(ledger, image_lost(one))
    assert (job_row(ledger, batch).state, job_row(ledger, batch).error_kind) == ("failed", "not_billed")
    assert money(ledger, batch) == (PRICE, 0, 0)


def test_an_unpriced_answer_after_a_resolution_keeps_the_amount_that_was_stated(ledger: Ledger) -> None:
    batch, one = resolved_attempt(ledger, Outcome.BILLED_LOST)
    book(ledger, succeeded(one, nano=None))
    assert money(ledger, batch) == (STATED, 0, 0)
    assert job_row(ledger, batch).state == "succeeded"
    assert charges(ledger, one) == [("stated", STATED, 0, "stated")]


def test_an_answer_beside_the_repeat_that_a_person_asked_for_withdraws_it(ledger: Ledger) -> None:
    batch, one = resolved_attempt(ledger, Outcome.NOT_BILLED, again=True)
    job = job_row(ledger, batch)
    assert (job.state, job.counted, job.unknowns, job.first_admitted_at) == ("queued", 0, 0, None)
    book(ledger, succeeded(one))
    assert job_row(ledger, batch).state == "succeeded"


def test_an_answer_after_the_repeat_failed_is_paid_for_and_surplus(ledger: Ledger) -> None:
    batch, one = resolved_attempt(ledger, Outcome.NOT_BILLED, again=True)
    change(ledger, schema.batches, schema.batches.c.id == batch, state="open", ended_at=None)
    book(ledger, rejected(admit_one(ledger, batch).attempt_id))
    book(ledger, succeeded(one))
    assert job_row(ledger, batch).state == "failed"
    assert job_row(ledger, batch).images == 0
    assert money(ledger, batch) == (PRICE, 0, 0)
    with ledger.read() as tx:
        assert tx.execute(select(schema.images.c.surplus)).scalars().all() == [True]


def test_a_batch_holds_its_doubts_where_repeats_would_start_above_the_wall(ledger: Ledger) -> None:
    """Decided one after the other, also in one group."""
    batch = open_batch(ledger, 4, retry_unknown=1, max_possible_nano=2 * CEILING)
    ids = [admit_one(ledger, batch).attempt_id for _ in range(3)]
    book(ledger, *map(unknown, ids))
    assert [job_row(ledger, batch, row).state for row in (1, 2, 3)] == ["queued", "queued", "held"]
    book(ledger, unknown(admit_one(ledger, batch).attempt_id))
    assert job_row(ledger, batch, 4).state == "held"
