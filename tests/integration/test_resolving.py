"""Resolutions and corrections on either engine, also beside answers that come at the same moment."""

import pytest

from jobs.errors import UsageError
from jobs.ledger import clock, control, doubts, schema
from jobs.ledger.acts import Act, list_acts
from jobs.ledger.budgets import Scope, set_cap
from jobs.ledger.corrections import correct
from jobs.ledger.engine import Ledger
from jobs.ledger.figures import standing
from jobs.ledger.overview import whole_ledger
from jobs.ledger.resolving import Resolved, resolve_listed, resolve_named
from jobs.states import JobState
from tests.integration.ledgers import (
    CEILING,
    PRICE,
    admit_one,
    all_at_once,
    ask,
    attempt_row,
    book,
    change,
    count,
    job_row,
    live_worker,
    make_due,
    money,
    new_job,
    open_batch,
    states,
    succeeded,
    throttled,
    unknown,
)

ACT = Act("ana", "resolve", evidence="invoice 11")


def doubtful(ledger: Ledger, jobs: int = 1, **changes: object) -> tuple[str, list[str]]:
    batch = open_batch(ledger, [new_job(row, tags={"team": "catalogue"}) for row in range(1, jobs + 1)], **changes)
    ids = [admit_one(ledger, batch).attempt_id for _ in range(jobs)]
    book(ledger, *map(unknown, ids))
    table = schema.attempts
    change(ledger, table, table.c.id.in_(ids), deadline_at=table.c.deadline_at - 3_600_000)
    return batch, ids


def test_a_resolution_moves_every_budget_that_covers_the_call(ledger: Ledger) -> None:
    """The sums of all scopes are recounted when the test ends."""
    batch, (billed, freed) = doubtful(ledger, 2)
    for scope, key in ((Scope.OVERALL, ""), (Scope.TAG, "team=catalogue"), (Scope.DAY, "*"), (Scope.MONTH, "*")):
        ledger.write(set_cap, scope, key, 10 * CEILING)
    done = ledger.write(resolve_named, {billed: 700, freed: None}, ACT, again=False)
    assert done == Resolved(2, 700, CEILING, jobs_failed=2, queued={})
    assert money(ledger, batch) == (700, 0, 0)
    assert ledger.write(correct, {billed: 650, freed: 40}) == {billed: -50, freed: 40}
    assert money(ledger, batch) == (690, 0, 0)
    with ledger.read() as tx:
        (act,) = list_acts(tx, batch)
    assert act["what"] == {
        "attempts": [billed, freed],
        "billed_nanodollars": 700,
        "freed_nanodollars": CEILING,
        "jobs_failed": 2,
        "jobs_queued": 0,
    }


def test_the_age_of_the_oldest_doubt_is_known_until_it_is_resolved(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_now = clock.now
    monkeypatch.setattr(clock, "now", lambda tx: true_now(tx) - 90_000)
    _, (old,) = doubtful(ledger)
    monkeypatch.undo()
    batch, (new,) = doubtful(ledger)
    mine, everybodys = ages(ledger, batch)
    assert 0 <= (mine or 0) < 60
    assert 90 <= (everybodys or 0) < 150
    ledger.write(resolve_named, {old: 1, new: None}, ACT, again=False)
    assert ages(ledger, batch) == (None, None)


def ages(ledger: Ledger, batch: str) -> tuple[float | None, float | None]:
    """As `status` tells it, of the batch and of all."""
    with ledger.read() as tx:
        return standing(tx, batch).oldest_unknown_s, whole_ledger(tx).oldest_unknown_s


def test_a_refused_resolution_leaves_no_trace(ledger: Ledger) -> None:
    batch, (one, other) = doubtful(ledger, 2)
    ledger.write(resolve_named, {one: None}, ACT, again=False)
    with pytest.raises(UsageError, match=f"{one} is not_billed, not unknown"):
        ledger.write(resolve_named, {one: 1, other: 1}, ACT, again=False)
    assert money(ledger, batch) == (0, CEILING, 0)
    assert count(ledger, schema.acts) == 1


def test_the_books_pass_over_a_call_that_was_answered_in_the_meantime(ledger: Ledger) -> None:
    batch, (one, other) = doubtful(ledger, 2)
    book(ledger, succeeded(one))
    assert ledger.write(resolve_listed, {one: 1, other: 2}, ACT, again=False).attempts == 1
    assert ledger.write(resolve_listed, {one: 1, other: 2}, ACT, again=False) == Resolved()
    assert money(ledger, batch) == (PRICE + 2, 0, 0)
    assert ledger.write(correct, {one: PRICE}) == {}


def test_a_job_with_another_doubt_waits_for_that_one_too(ledger: Ledger) -> None:
    batch, (first,) = doubtful(ledger)
    ledger.write(control.retry, batch, [JobState.HELD])
    book(ledger, unknown(admit_one(ledger, batch).attempt_id))
    assert ledger.write(resolve_named, {first: 5}, ACT, again=True).queued == {}
    assert job_row(ledger, batch).state == "held"


def test_both_doubts_of_a_job_may_be_resolved_at_once(ledger: Ledger) -> None:
    batch, (first,) = doubtful(ledger)
    ledger.write(control.retry, batch, [JobState.HELD])
    second = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(second))
    assert ledger.write(resolve_named, {first: 5, second: 6}, ACT, again=True).queued == {batch: 1}
    assert (job_row(ledger, batch).state, money(ledger, batch)) == ("queued", (11, 0, 0))


def test_more_calls_than_one_statement_can_name_are_resolved_at_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "_MOST_NAMED", 2)
    batch, ids = doubtful(ledger, 5)
    assert ledger.write(resolve_named, dict.fromkeys(ids), ACT, again=True).queued == {batch: 5}
    assert (states(ledger, batch), money(ledger, batch)) == ({"queued": 5}, (0, 0, 0))


def test_a_resolution_and_the_answer_at_the_same_moment_end_at_the_answers_price(ledger: Ledger) -> None:
    batch, ids = doubtful(ledger, 12)

    def resolve_by_hand(one: str) -> None:
        ledger.write(resolve_listed, {one: 700}, ACT, again=False)

    acts = [lambda one=one: resolve_by_hand(one) for one in ids]
    all_at_once([*acts, *[lambda one=one: book(ledger, succeeded(one)) for one in ids]])
    assert states(ledger, batch) == {"succeeded": 12}
    assert money(ledger, batch) == (12 * PRICE, 0, 0)
    assert {attempt_row(ledger, one).outcome for one in ids} == {"succeeded"}
    with ledger.read() as tx:
        told = [one for act in list_acts(tx, batch) for one in act["what"]["attempts"]]
    assert len(told) == count(
        ledger, schema.charges, schema.charges.c.meter == "stated", schema.charges.c.correction == 0
    )


def test_resolutions_and_corrections_beside_work_leave_right_books(ledger: Ledger) -> None:
    """Recounted when the test ends; nobody waits in a circle."""
    ledger.write(set_cap, Scope.OVERALL, "", 10**6)
    batch, ids = doubtful(ledger, 8)
    other = open_batch(ledger, 24)
    worker = live_worker(ledger)

    def work() -> None:
        for _ in range(6):
            for place, one in enumerate(ask(ledger, other, 2, worker).admitted):
                book(ledger, (succeeded if place else throttled)(one.attempt_id))
            make_due(ledger, other)

    def resolve_half(half: list[str]) -> None:
        for one in half:
            ledger.write(resolve_named, {one: 300}, ACT, again=False)
            ledger.write(correct, {one: 200})

    all_at_once([work, work, lambda: resolve_half(ids[::2]), lambda: resolve_half(ids[1::2])])
    assert money(ledger, batch) == (8 * 200, 0, 0)
