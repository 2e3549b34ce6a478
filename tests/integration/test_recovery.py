"""Heartbeats, the sweep and what is released: only what a dead process held, and only by one that may judge."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

import pytest
from sqlalchemy import Connection, select

from jobs.ledger import clock, recovery, schema
from jobs.ledger.admission import Admitted, WorkerFenced, admit
from jobs.ledger.engine import Ledger
from jobs.ledger.recovery import DueBatch, Swept
from tests.integration.ledgers import (
    CEILING,
    MODEL,
    PRICE,
    admit_one,
    all_at_once,
    ask,
    at_once,
    attempt_row,
    book,
    by_policy,
    change,
    claimer,
    job_row,
    let_lease_run_out,
    live_worker,
    money,
    new_job,
    open_batch,
    states,
    steady_worker,
    succeeded,
    worker_row,
)


def sweep(ledger: Ledger, sweeper: str) -> Swept:
    return ledger.write(recovery.sweep, sweeper, by_policy)


def in_flight(ledger: Ledger, batch: str, worker: str, most: int = 1) -> list[Admitted]:
    return ask(ledger, batch, most, worker).admitted


def admitted_long_ago(ledger: Ledger, attempt_id: str) -> None:
    table = schema.attempts
    change(ledger, table, table.c.id == attempt_id, admitted_at=table.c.admitted_at - 61_000)


def test_a_worker_ends_later_than_the_admission_that_the_sweep_had_to_wait_for(ledger: Ledger) -> None:
    dead, sweeper = live_worker(ledger), steady_worker(ledger)
    let_lease_run_out(ledger, dead)
    with ThreadPoolExecutor(1) as pool:

        def admit_slowly(tx: Connection) -> tuple[int, Future[Swept]]:
            mine = select(schema.workers.c.id).where(schema.workers.c.id == dead)
            tx.execute(mine.with_for_update(read=True)).one()
            waiting = pool.submit(sweep, ledger, sweeper)
            assert not wait([waiting], timeout=0.3).done
            return clock.now(tx), waiting

        admitted_at, swept = ledger.write(admit_slowly)
        assert swept.result(30) == Swept((dead,), 0)
    assert worker_row(ledger, dead).ended_at >= admitted_at


def test_the_attempts_of_a_worker_whose_lease_ran_out_become_unknown_and_their_jobs_held(ledger: Ledger) -> None:
    batch, dead, sweeper = open_batch(ledger, 3), live_worker(ledger), steady_worker(ledger)
    held = in_flight(ledger, batch, dead, 2)
    let_lease_run_out(ledger, dead)
    assert sweep(ledger, sweeper) == Swept((dead,), 2)
    assert states(ledger, batch) == {"held": 2, "queued": 1}
    assert money(ledger, batch) == (0, 2 * CEILING, 0)
    attempt = attempt_row(ledger, held[0].attempt_id)
    assert (attempt.outcome, attempt.error_kind) == ("unknown", "worker_lost")
    assert worker_row(ledger, dead).ended_at is not None


def test_a_sweep_queues_again_what_the_batch_lets_repeat(ledger: Ledger) -> None:
    batch, dead, sweeper = open_batch(ledger, retry_unknown=1), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, dead)
    let_lease_run_out(ledger, dead)
    sweep(ledger, sweeper)
    assert job_row(ledger, batch).state == "queued"


def test_a_live_workers_attempts_are_left_alone(ledger: Ledger) -> None:
    batch, alive, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, alive)
    let_lease_run_out(ledger, alive, ms=50_000)
    assert sweep(ledger, sweeper) == Swept((), 0)
    assert job_row(ledger, batch).state == "running"


def test_old_attempts_of_a_live_worker_are_left_alone(ledger: Ledger) -> None:
    batch, alive, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    (one,) = in_flight(ledger, batch, alive)
    admitted_long_ago(ledger, one.attempt_id)
    assert sweep(ledger, sweeper).attempts == 0


def test_a_beat_that_lies_in_the_future_counts_as_expired(ledger: Ledger) -> None:
    """The clock was set back: nobody could ever call that worker dead again."""
    batch, dead, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, dead)
    let_lease_run_out(ledger, dead, ms=-3_600_000)
    assert sweep(ledger, sweeper) == Swept((dead,), 1)


def test_a_sweeper_without_a_steady_heartbeat_judges_nothing(ledger: Ledger) -> None:
    """After an outage of the database every row looks expired at once, the live ones too."""
    batch, dead, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, dead)
    let_lease_run_out(ledger, dead)
    let_lease_run_out(ledger, sweeper)
    assert ledger.write(recovery.beat, sweeper, in_flight=0)
    assert sweep(ledger, sweeper) == Swept((), 0)
    assert not ledger.write(recovery.win_sweep, sweeper, every_ms=0)
    assert job_row(ledger, batch).state == "running"
    assert worker_row(ledger, dead).ended_at is None


def test_a_sweeper_that_has_not_beaten_since_an_outage_judges_nothing(ledger: Ledger) -> None:
    """Its sweep timer may fire before its heartbeat does."""
    dead, sweeper = live_worker(ledger), steady_worker(ledger)
    let_lease_run_out(ledger, dead)
    let_lease_run_out(ledger, sweeper, ms=40_000)
    assert sweep(ledger, sweeper) == Swept((), 0)
    assert not ledger.write(recovery.win_sweep, sweeper, every_ms=0)
    ledger.write(recovery.beat, sweeper, in_flight=0)
    assert sweep(ledger, sweeper) == Swept((), 0)


def test_a_new_worker_takes_over_the_steadiness_of_a_live_one(ledger: Ledger) -> None:
    """Else workers that are replaced once a minute would leave nobody to sweep."""
    dead, old = live_worker(ledger), steady_worker(ledger)
    let_lease_run_out(ledger, dead)
    let_lease_run_out(ledger, old, ms=20_000)
    assert sweep(ledger, live_worker(ledger)).workers == (dead,)


def test_a_new_worker_takes_nothing_over_from_one_that_is_silent(ledger: Ledger) -> None:
    dead, old = live_worker(ledger), steady_worker(ledger)
    let_lease_run_out(ledger, dead)
    let_lease_run_out(ledger, old, ms=40_000)
    assert sweep(ledger, live_worker(ledger)) == Swept((), 0)


def test_a_clock_that_is_set_back_makes_the_sweeper_watch_anew(ledger: Ledger) -> None:
    dead, sweeper = live_worker(ledger), steady_worker(ledger)
    let_lease_run_out(ledger, dead)
    let_lease_run_out(ledger, sweeper, ms=-3_600_000)
    assert sweep(ledger, sweeper) == Swept((), 0)
    ledger.write(recovery.beat, sweeper, in_flight=0)
    row = worker_row(ledger, sweeper)
    assert row.steady_since == row.beat_at


def test_a_worker_that_was_swept_itself_judges_nothing(ledger: Ledger) -> None:
    batch, dead, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, dead)
    let_lease_run_out(ledger, dead)
    ledger.write(recovery.sign_off, sweeper)
    assert sweep(ledger, sweeper) == Swept((), 0)


def test_beats_without_a_gap_stay_steady(ledger: Ledger) -> None:
    sweeper = steady_worker(ledger)
    since = worker_row(ledger, sweeper).steady_since
    let_lease_run_out(ledger, sweeper, ms=20_000)
    ledger.write(recovery.beat, sweeper, in_flight=7)
    row = worker_row(ledger, sweeper)
    assert (row.steady_since, row.in_flight) == (since, 7)


def test_a_swept_workers_beat_is_refused(ledger: Ledger) -> None:
    dead, sweeper = live_worker(ledger), steady_worker(ledger)
    let_lease_run_out(ledger, dead)
    sweep(ledger, sweeper)
    assert not ledger.write(recovery.beat, dead, in_flight=0)
    assert not ledger.write(recovery.beat, "w_nobody", in_flight=0)


def test_what_a_worker_left_when_it_stopped_is_swept(ledger: Ledger) -> None:
    batch, stopped, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, stopped)
    ledger.write(recovery.sign_off, stopped)
    assert sweep(ledger, sweeper) == Swept((), 1)


def test_a_call_past_its_deadline_becomes_unknown_although_its_worker_lives(ledger: Ledger) -> None:
    batch, alive, sweeper = open_batch(ledger, 2), live_worker(ledger), steady_worker(ledger)
    late, _ = in_flight(ledger, batch, alive, 2)
    table = schema.attempts
    change(ledger, table, table.c.id == late.attempt_id, deadline_at=table.c.deadline_at - 961_000)
    assert sweep(ledger, sweeper) == Swept((), 1)
    assert attempt_row(ledger, late.attempt_id).error_kind == "deadline_passed"
    assert states(ledger, batch) == {"held": 1, "running": 1}


def test_a_deadline_is_followed_by_one_lease_of_grace(ledger: Ledger) -> None:
    batch, alive, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    (late,) = in_flight(ledger, batch, alive)
    table = schema.attempts
    change(ledger, table, table.c.id == late.attempt_id, deadline_at=table.c.deadline_at - 930_000)
    assert sweep(ledger, sweeper).attempts == 0


def test_a_deadline_passes_only_while_somebody_watches(ledger: Ledger) -> None:
    """A clock that is set forward by days makes calls that have just begun look long overdue."""
    batch, alive, sweeper = open_batch(ledger), live_worker(ledger), live_worker(ledger)
    (late,) = in_flight(ledger, batch, alive)
    table, workers = schema.attempts, schema.workers
    change(ledger, table, table.c.id == late.attempt_id, deadline_at=0, admitted_at=-900_000)
    for watched_ms, found in ((950_000, 0), (970_000, 1)):
        since = workers.c.beat_at - watched_ms
        change(ledger, workers, workers.c.id == sweeper, steady_since=since)
        assert sweep(ledger, sweeper).attempts == found


def test_a_late_answer_after_a_sweep_resolves_the_doubt(ledger: Ledger) -> None:
    batch, dead, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)
    (one,) = in_flight(ledger, batch, dead)
    let_lease_run_out(ledger, dead)
    sweep(ledger, sweeper)
    book(ledger, succeeded(one.attempt_id))
    assert job_row(ledger, batch).state == "succeeded"
    assert money(ledger, batch) == (PRICE, 0, 0)


def test_two_sweeps_at_once_close_each_attempt_once(ledger: Ledger) -> None:
    batch, dead = open_batch(ledger, 20), live_worker(ledger)
    in_flight(ledger, batch, dead, 20)
    let_lease_run_out(ledger, dead)
    sweepers = [steady_worker(ledger) for _ in range(4)]
    swept = all_at_once([partial(sweep, ledger, sweeper) for sweeper in sweepers])
    assert sum(one.attempts for one in swept) == 20
    assert [worker for one in swept for worker in one.workers] == [dead]
    assert money(ledger, batch) == (0, 20 * CEILING, 0)


def test_an_admission_beside_the_sweep_is_fenced_or_swept(ledger: Ledger) -> None:
    """The worker's clock says it is alive, the sweep says it is not: whoever comes first decides for both."""
    for _ in range(5):
        batch, zombie, sweeper = open_batch(ledger), live_worker(ledger), steady_worker(ledger)

        def expire_and_sweep(tx: Connection, zombie: str = zombie, sweeper: str = sweeper) -> Swept:
            table = schema.workers
            tx.execute(table.update().where(table.c.id == zombie).values(beat_at=table.c.beat_at - 61_000))
            return recovery.sweep(tx, sweeper, by_policy)

        def claim(batch: str = batch, zombie: str = zombie) -> int:
            try:
                return len(ledger.write(admit, claimer(zombie), batch, 1).admitted)
            except WorkerFenced:
                return 0

        admitted, swept = all_at_once([claim, partial(ledger.write, expire_and_sweep)])
        assert swept.workers == (zombie,)
        assert swept.attempts == admitted
        assert states(ledger, batch) == ({"held": 1} if admitted else {"queued": 1})


def test_one_of_many_wins_the_sweep_of_a_period(ledger: Ledger) -> None:
    sweepers = [steady_worker(ledger) for _ in range(6)]
    won = all_at_once([partial(ledger.write, recovery.win_sweep, sweeper) for sweeper in sweepers])
    assert sorted(won) == [False] * 5 + [True]
    change(ledger, schema.duties, done_at=schema.duties.c.done_at - 15_000)
    assert ledger.write(recovery.win_sweep, sweepers[0])


@pytest.mark.parametrize(("later_ms", "wins"), [(14_000, False), (16_000, True)])
def test_a_sweep_that_was_won_a_moment_later_counts_and_one_far_ahead_does_not(
    ledger: Ledger, later_ms: int, wins: bool
) -> None:
    """Whoever waits for the row of the duty may have asked for the time before the winner did."""
    sweeper = steady_worker(ledger)
    assert ledger.write(recovery.win_sweep, sweeper)
    change(ledger, schema.duties, done_at=schema.duties.c.done_at + later_ms + 500)
    assert ledger.write(recovery.win_sweep, sweeper) is wins


def test_a_dead_process_is_closed_at_once_by_whoever_holds_its_spool(ledger: Ledger) -> None:
    batch = open_batch(ledger, 4)
    dead, renamed, other = (live_worker(ledger, spool) for spool in ("spool-1", "spool-1", "spool-2"))
    for worker in (dead, renamed, other):
        in_flight(ledger, batch, worker)
    assert len(ledger.write(recovery.close_spool, "spool-1", by_policy)) == 2
    assert states(ledger, batch) == {"held": 2, "running": 1, "queued": 1}
    assert worker_row(ledger, dead).ended_at is not None
    assert worker_row(ledger, other).ended_at is None
    assert len(ledger.write(recovery.close_spool, "spool-1", by_policy)) == 0


def test_what_a_dead_process_never_sent_goes_on_without_a_doubt(ledger: Ledger) -> None:
    batch, dead = open_batch(ledger, 3), live_worker(ledger, "spool-1")
    sent, *_ = in_flight(ledger, batch, dead, 3)
    assert len(ledger.write(recovery.close_spool, "spool-1", by_policy, {sent.attempt_id})) == 3
    assert states(ledger, batch) == {"held": 1, "queued": 2}
    assert attempt_row(ledger, sent.attempt_id).outcome == "unknown"


def test_a_doubt_of_the_sweep_about_a_call_never_sent_is_cleared(ledger: Ledger) -> None:
    batch, dead, sweeper = open_batch(ledger), live_worker(ledger, "spool-1"), steady_worker(ledger)
    in_flight(ledger, batch, dead)
    let_lease_run_out(ledger, dead)
    sweep(ledger, sweeper)
    assert states(ledger, batch) == {"held": 1}
    assert len(ledger.write(recovery.close_spool, "spool-1", by_policy, frozenset())) == 1
    assert states(ledger, batch) == {"queued": 1}


def test_a_spool_of_more_attempts_than_one_portion_is_closed_whole(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_MOST_AT_ONCE", 3)
    batch, dead = open_batch(ledger, 8), live_worker(ledger, "spool-1")
    in_flight(ledger, batch, dead, 8)
    assert len(ledger.write(recovery.close_spool, "spool-1", by_policy)) == 8


def test_a_sweep_takes_a_portion_at_a_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_MOST_AT_ONCE", 3)
    batch, dead, sweeper = open_batch(ledger, 8), live_worker(ledger), steady_worker(ledger)
    in_flight(ledger, batch, dead, 8)
    let_lease_run_out(ledger, dead)
    assert [sweep(ledger, sweeper).attempts for _ in range(4)] == [3, 3, 2, 0]


def test_an_attempt_whose_admission_reply_was_lost_is_freed_as_never_sent(ledger: Ledger) -> None:
    batch, worker = open_batch(ledger), live_worker(ledger)
    (lost,) = in_flight(ledger, batch, worker)
    admitted_long_ago(ledger, lost.attempt_id)
    assert len(ledger.write(recovery.release_unsent, worker, tuple, by_policy)) == 1
    attempt, job = attempt_row(ledger, lost.attempt_id), job_row(ledger, batch)
    assert (attempt.outcome, attempt.error_kind) == ("not_sent", "admission_lost")
    assert (job.state, job.counted) == ("queued", 0)
    assert money(ledger, batch) == (0, 0, 0)


def test_only_old_attempts_that_nobody_holds_are_freed_as_never_sent(ledger: Ledger) -> None:
    batch, worker, other = open_batch(ledger, 3), live_worker(ledger), live_worker(ledger)
    held, fresh = in_flight(ledger, batch, worker, 2)
    (theirs,) = in_flight(ledger, batch, other)
    for one in (held, theirs):
        admitted_long_ago(ledger, one.attempt_id)
    assert ledger.write(recovery.release_unsent, worker, lambda: (held.attempt_id,), by_policy) == ()
    assert states(ledger, batch) == {"running": 3}
    assert attempt_row(ledger, fresh.attempt_id).outcome is None


def test_due_batches_are_the_open_ones_with_queued_jobs_the_oldest_first(ledger: Ledger) -> None:
    rows = [new_job(1), new_job(2, model="dall-e-3")]
    first, second, running, paused, loading = (open_batch(ledger, list(rows)) for _ in range(5))
    table = schema.batches
    change(ledger, table, table.c.id == second, opened_at=table.c.opened_at - 10_000)
    change(ledger, table, table.c.id == paused, state="paused")
    change(ledger, table, table.c.id == loading, state="loading")
    ask(ledger, running, 2)
    ask(ledger, first, 1)
    with ledger.read() as tx:
        assert recovery.due_batches(tx) == [DueBatch(second, ("dall-e-3", MODEL)), DueBatch(first, (MODEL,))]
    change(ledger, table, table.c.id == loading, state="open")


def test_a_worker_lost_over_and_over_holds_the_job_as_soon_as_the_repeats_are_used_up(ledger: Ledger) -> None:
    batch, sweeper = open_batch(ledger, retry_unknown=2), steady_worker(ledger)
    for expected in ("queued", "queued", "held"):
        dead = live_worker(ledger)
        admit_one(ledger, batch, dead)
        let_lease_run_out(ledger, dead)
        ledger.write(recovery.sweep, sweeper, at_once)
        assert job_row(ledger, batch).state == expected
