"""Admission: claims, permits, reservations and attempts, all in one commit, under rivals on both engines."""

import pytest
from sqlalchemy import Connection, select, text

from jobs.ledger import control, limits, recovery, schema
from jobs.ledger.admission import Admission, WorkerFenced, admit
from jobs.ledger.engine import Ledger
from jobs.ledger.limits import Lesson
from jobs.pacing import USED, Caps
from tests.integration.ledgers import (
    CEILING,
    ENDPOINT,
    MODEL,
    admit_one,
    all_at_once,
    ask,
    assert_totals_agree,
    attempt_row,
    book,
    change,
    claimer,
    count,
    errored,
    job_row,
    let_lease_run_out,
    live_worker,
    make_due,
    money,
    new_job,
    not_sent,
    open_batch,
    states,
    succeeded,
    throttled,
    unknown,
)


def rows_of(admission: Admission) -> list[int]:
    return [one.row for one in admission.admitted]


def wait_of(admission: Admission) -> str | None:
    return admission.wait.reason if admission.wait else None


def test_jobs_are_claimed_in_the_order_of_the_manifest(ledger: Ledger) -> None:
    batch = open_batch(ledger, 5)
    assert rows_of(ask(ledger, batch, 2)) == [1, 2]
    assert rows_of(ask(ledger, batch, 2)) == [3, 4]
    assert rows_of(ask(ledger, batch, 2)) == [5]


def test_free_slots_are_shared_by_the_models_of_a_batch(ledger: Ledger) -> None:
    rows = [new_job(row, model="dall-e-2" if row > 4 else MODEL) for row in range(1, 9)]
    assert sorted(rows_of(ask(ledger, open_batch(ledger, rows), 4))) == [1, 2, 5, 6]


def test_a_model_with_few_jobs_leaves_its_slots_to_the_others(ledger: Ledger) -> None:
    rows = [new_job(row, model="a-model" if row == 8 else MODEL) for row in range(1, 9)]
    assert sorted(rows_of(ask(ledger, open_batch(ledger, rows), 6))) == [1, 2, 3, 4, 5, 8]


def test_an_admission_is_the_claim_the_reservation_the_attempt_and_the_tallies_at_once(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3)
    worker = live_worker(ledger)
    admitted = admit_one(ledger, batch, worker)
    job, attempt = job_row(ledger, batch), attempt_row(ledger, admitted.attempt_id)
    assert (job.state, job.attempts, job.first_admitted_at) == ("running", 1, attempt.admitted_at)
    assert (attempt.outcome, attempt.worker_id, attempt.number) == (None, worker, 1)
    assert attempt.deadline_at == admitted.deadline_at == attempt.admitted_at + 900_000
    assert (attempt.endpoint, attempt.model, attempt.ceiling_nano) == (ENDPOINT, MODEL, CEILING)
    assert money(ledger, batch) == (0, 0, CEILING)
    assert_totals_agree(ledger)


def test_an_admission_that_is_rolled_back_leaves_nothing(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3)
    worker = live_worker(ledger)

    def admit_and_fail(tx: Connection) -> None:
        assert len(admit(tx, claimer(worker, Caps(requests_per_min=30)), batch, 2).admitted) == 1
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ledger.write(admit_and_fail)
    assert states(ledger, batch) == {"queued": 3}
    assert money(ledger, batch) == (0, 0, 0)
    assert count(ledger, schema.attempts) == 0
    assert count(ledger, schema.rate_limits) == 0


def test_every_call_of_a_job_has_an_id_and_a_number_of_its_own(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    first = admit_one(ledger, batch)
    book(ledger, errored(first.attempt_id))
    make_due(ledger, batch)
    second = admit_one(ledger, batch)
    assert (first.number, second.number) == (1, 2)
    assert first.attempt_id != second.attempt_id


def test_the_idempotency_key_changes_only_after_an_answer(ledger: Ledger) -> None:
    batch = open_batch(ledger, retry_unknown=5)
    keys = []
    for ending in (unknown, not_sent, errored, unknown):
        admitted = admit_one(ledger, batch)
        keys.append(admitted.idempotency_key)
        book(ledger, ending(admitted.attempt_id))
        make_due(ledger, batch)
    keys.append(admit_one(ledger, batch).idempotency_key)
    assert keys[0] == keys[1] == keys[2] != keys[3] == keys[4]


def test_no_job_is_ever_claimed_twice(ledger: Ledger) -> None:
    batch = open_batch(ledger, 40)
    workers = [live_worker(ledger) for _ in range(8)]

    def claim_all(worker: str) -> list[int]:
        rows: list[int] = []
        while admitted := ask(ledger, batch, 3, worker).admitted:
            rows += [one.row for one in admitted]
        return rows

    claimed = all_at_once([lambda worker=worker: claim_all(worker) for worker in workers])
    assert sorted(row for rows in claimed for row in rows) == list(range(1, 41))
    assert count(ledger, schema.attempts) == 40


def test_workers_of_two_endpoints_never_claim_the_same_job(ledger: Ledger) -> None:
    batch = open_batch(ledger, 30)
    endpoints = [f"http://127.0.0.1:{port}/v1" for port in (1, 2, 3, 4)]

    def claim_all(endpoint: str) -> list[int]:
        worker, rows = live_worker(ledger), []
        while admitted := ask(ledger, batch, 2, worker, endpoint=endpoint).admitted:
            rows += [one.row for one in admitted]
        return rows

    claimed = all_at_once([lambda endpoint=endpoint: claim_all(endpoint) for endpoint in endpoints])
    assert sorted(row for rows in claimed for row in rows) == list(range(1, 31))


@pytest.mark.parametrize("round_", range(3))
def test_a_budget_for_ten_calls_lets_ten_of_64_claimers_through(ledger: Ledger, round_: int) -> None:
    batch = open_batch(ledger, 64, budget=10 * CEILING + round_)
    worker = live_worker(ledger)
    granted = all_at_once([lambda: len(ask(ledger, batch, 1, worker).admitted) for _ in range(64)])
    assert sorted(granted) == [0] * 54 + [1] * 10
    assert money(ledger, batch) == (0, 0, 10 * CEILING)


def test_a_budget_holds_whatever_sizes_and_endings_race_for_it(ledger: Ledger) -> None:
    rows = [new_job(row, ceiling_nano=300 + 170 * (row % 5)) for row in range(1, 61)]
    cap = 5_000
    batch = open_batch(ledger, rows, budget=cap, retry_unknown=0)
    worker = live_worker(ledger)
    endings = [succeeded, unknown, throttled, not_sent]

    def work(number: int) -> list[int]:
        used = []
        for turn in range(4):
            admitted = ask(ledger, batch, 2, worker).admitted
            used.append(sum(money(ledger, batch)))
            for one in admitted:
                ending = endings[(number + turn) % 4]
                book(ledger, ending(one.attempt_id, nano=250) if ending is succeeded else ending(one.attempt_id))
        return used

    seen = all_at_once([lambda number=number: work(number) for number in range(8)])
    assert max(used for each in seen for used in each) <= cap
    assert sum(money(ledger, batch)) <= cap


def test_what_is_possibly_paid_uses_up_the_budget_as_well(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3, budget=2 * CEILING)
    book(ledger, unknown(admit_one(ledger, batch).attempt_id))
    assert rows_of(ask(ledger, batch, 2)) == [2]
    assert wait_of(ask(ledger, batch, 2)) == "budget"


def test_money_that_a_cheap_answer_frees_is_admitted_with_again(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3, budget=CEILING + CEILING // 2)
    first = admit_one(ledger, batch)
    assert wait_of(ask(ledger, batch)) == "budget"
    book(ledger, succeeded(first.attempt_id, nano=CEILING // 2))
    assert rows_of(ask(ledger, batch, 2)) == [2]


def test_a_call_that_the_budget_does_not_hold_uses_up_no_permit(ledger: Ledger) -> None:
    poor = open_batch(ledger, 5, budget=0)
    rich = open_batch(ledger, 5)
    caps = Caps(requests_per_min=1)
    assert wait_of(ask(ledger, poor, 1, caps=caps)) == "budget"
    assert rows_of(ask(ledger, rich, 1, caps=caps)) == [1]


def test_a_job_of_another_model_that_fits_the_budget_is_not_held_up(ledger: Ledger) -> None:
    rows = [new_job(1, model="a-dear-model", ceiling_nano=5_000), new_job(2, model="b-cheap-model")]
    batch = open_batch(ledger, rows, budget=2_000)
    admission = ask(ledger, batch, 2)
    assert rows_of(admission) == [2]
    assert wait_of(admission) == "budget"


def test_a_batch_with_jobs_that_only_wait_for_permits_is_not_told_that_its_budget_is_full(ledger: Ledger) -> None:
    """It would be paused, although it can go on by itself."""
    rows = [new_job(1, model="a-dear-model", ceiling_nano=5_000), *(new_job(row, model="b") for row in (2, 3))]
    batch = open_batch(ledger, rows, budget=4_000)
    caps = Caps(requests_per_min=30)
    assert rows_of(ask(ledger, batch, 4, caps=caps)) == [2]
    assert wait_of(ask(ledger, batch, 4, caps=caps)) == "rate_limit"
    assert rows_of(ask(ledger, batch, 4)) == [3]
    assert wait_of(ask(ledger, batch, 4)) == "budget"


def test_no_more_permits_are_given_than_the_stated_limit_allows(ledger: Ledger) -> None:
    batch = open_batch(ledger, 10)
    admission = ask(ledger, batch, 10, caps=Caps(images_per_min=6))
    assert rows_of(admission) == [1]
    assert wait_of(admission) == "rate_limit"
    assert 8_000 < (admission.wait.for_ms or 0) <= 10_000 / USED + 1
    assert wait_of(ask(ledger, batch, 10, caps=Caps(images_per_min=6))) == "rate_limit"


def test_a_stated_limit_is_not_taken_for_one_the_endpoint_named(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3)
    ask(ledger, batch, 1, caps=Caps(requests_per_min=600))
    with ledger.read() as tx:
        assert tx.execute(select(schema.rate_limits.c.requests_per_min)).scalar_one() is None


def test_permits_are_shared_by_all_workers(ledger: Ledger) -> None:
    batch = open_batch(ledger, 20)
    caps = Caps(requests_per_min=60)
    workers = [live_worker(ledger) for _ in range(6)]
    granted = all_at_once(
        [lambda worker=worker: len(ask(ledger, batch, 4, worker, caps=caps).admitted) for worker in workers]
    )
    # One a second, and one second's worth at once.
    assert 1 <= sum(granted) <= 2


def test_a_limit_the_endpoint_named_holds_everybody_back(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3)
    said = Lesson(MODEL, 1, 0, throttled=True, retry_after_s=30.0)
    ledger.write(limits.learn, ENDPOINT, [said], 0.5)
    admission = ask(ledger, batch, 3)
    assert rows_of(admission) == []
    assert wait_of(admission) == "rate_limit"
    assert 20_000 < (admission.wait.for_ms or 0) <= 30_000
    assert rows_of(ask(ledger, batch, 3, endpoint="http://127.0.0.1:10/v1")) == [1, 2, 3]


def test_a_paused_batch_admits_nothing_until_it_is_resumed(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    assert ledger.write(control.pause, batch, "operator")
    admission = ask(ledger, batch)
    assert (rows_of(admission), wait_of(admission)) == ([], "batch_paused")
    assert admission.wait.message == "operator"
    assert ledger.write(control.resume, batch)
    assert rows_of(ask(ledger, batch)) == [1]


def test_a_paused_endpoint_admits_nothing_until_it_is_resumed(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    ledger.write(limits.pause_endpoint, ENDPOINT, None, "invalid_api_key", "Incorrect API key.")
    admission = ask(ledger, batch)
    assert (rows_of(admission), wait_of(admission)) == ([], "endpoint_paused")
    assert "Incorrect API key." in admission.wait.message
    assert [paused.kind for paused in ledger.write(limits.resume_endpoints)] == ["invalid_api_key"]
    assert rows_of(ask(ledger, batch)) == [1]


def test_a_paused_model_leaves_the_other_models_running(ledger: Ledger) -> None:
    rows = [new_job(1, model="dall-e-3"), new_job(2)]
    batch = open_batch(ledger, rows)
    ledger.write(limits.pause_endpoint, ENDPOINT, "dall-e-3", "permission_denied", "verify first")
    admission = ask(ledger, batch, 2)
    assert (rows_of(admission), wait_of(admission)) == ([2], "model_paused")
    ledger.write(limits.resume_endpoints)
    assert rows_of(ask(ledger, batch, 2)) == [1]


def test_the_first_reason_of_a_pause_stands(ledger: Ledger) -> None:
    ledger.write(limits.pause_endpoint, ENDPOINT, None, "billing_hard_limit_reached", "first")
    ledger.write(limits.pause_endpoint, ENDPOINT, None, "invalid_api_key", "second")
    with ledger.read() as tx:
        assert [paused.message for paused in limits.list_pauses(tx, ENDPOINT)] == ["first"]


def test_a_swept_worker_admits_nothing(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    worker = live_worker(ledger)
    ledger.write(recovery.sign_off, worker)
    with pytest.raises(WorkerFenced) as fenced:
        ask(ledger, batch, 1, worker)
    assert fenced.value.worker_id == worker
    assert states(ledger, batch) == {"queued": 1}


def test_a_worker_that_missed_its_lease_fences_itself(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    worker = live_worker(ledger)
    let_lease_run_out(ledger, worker)
    with pytest.raises(WorkerFenced):
        ask(ledger, batch, 1, worker)
    ledger.write(recovery.beat, worker, in_flight=0)
    assert rows_of(ask(ledger, batch, 1, worker)) == [1]


def test_a_worker_that_never_registered_admits_nothing(ledger: Ledger) -> None:
    with pytest.raises(WorkerFenced):
        ask(ledger, open_batch(ledger), 1, "w_nobody")


def test_a_wait_for_a_due_time_says_how_long(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    book(ledger, errored(admit_one(ledger, batch).attempt_id), retry=lambda job, ending: 50_000)
    admission = ask(ledger, batch)
    assert wait_of(admission) == "not_due"
    assert 40_000 < (admission.wait.for_ms or 0) <= 50_000


def test_the_wait_that_ends_first_is_the_one_that_is_told(ledger: Ledger) -> None:
    rows = [new_job(1, model="a"), new_job(2, model="b")]
    batch = open_batch(ledger, rows)
    first, second = ask(ledger, batch, 2).admitted
    book(ledger, errored(first.attempt_id), retry=lambda job, ending: 90_000)
    book(ledger, errored(second.attempt_id), retry=lambda job, ending: 20_000)
    assert 10_000 < (ask(ledger, batch, 2).wait.for_ms or 0) <= 20_000


def test_jobs_that_are_claimed_are_not_waited_for(ledger: Ledger) -> None:
    assert wait_of(ask(ledger, open_batch(ledger, 2), 5)) == "done"


def test_nothing_queued_is_told_as_done(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    admitted = admit_one(ledger, batch)
    assert wait_of(ask(ledger, batch)) == "done"
    book(ledger, succeeded(admitted.attempt_id))
    assert wait_of(ask(ledger, batch)) == "done"


def test_cancelled_loading_and_unknown_batches_are_closed(ledger: Ledger) -> None:
    cancelled, loading = open_batch(ledger), open_batch(ledger)
    ledger.write(control.cancel, cancelled)
    change(ledger, schema.batches, schema.batches.c.id == loading, state="loading")
    for batch in (cancelled, loading, "b_nothing"):
        assert wait_of(ask(ledger, batch)) == "batch_closed"
    change(ledger, schema.batches, schema.batches.c.id == loading, state="open")


def test_more_due_work_than_was_asked_for_is_no_reason_to_wait(ledger: Ledger) -> None:
    assert ask(ledger, open_batch(ledger, 3), 2).wait is None


def test_a_batch_paused_while_an_admission_waits_for_it_admits_nothing(ledger: Ledger) -> None:
    """The pause holds the batch until it commits; an admission must not act on what it saw before."""
    batch = open_batch(ledger, 4)
    worker = live_worker(ledger)

    def pause_slowly(tx: Connection) -> bool:
        paused = control.pause(tx, batch, "operator")
        if tx.dialect.name == "postgresql":
            tx.execute(text("SELECT pg_sleep(0.05)"))
        return paused

    results = all_at_once(
        [lambda: ledger.write(pause_slowly), *[lambda: ask(ledger, batch, 1, worker) for _ in range(4)]]
    )
    assert results[0] is True
    before = sum(len(one.admitted) for one in results[1:])
    assert states(ledger, batch)["running"] == before
    assert rows_of(ask(ledger, batch, 4, worker)) == []
