"""The executor on the embedded default, against a real simulator: what is sent, kept, repeated, stopped, paid."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs.errors import LedgerAway, UsageError
from jobs.ledger import clock, control, limits, recovery, schema
from jobs.ledger.budgets import Scope, set_cap
from jobs.ledger.engine import Ledger
from jobs.ledger.waiting import stopped_by_budget
from jobs.submit import Policy
from tests.integration.ledgers import (
    attempt_row,
    batch_row,
    by_policy,
    change,
    count,
    job_row,
    let_lease_run_out,
    money,
    states,
    steady_worker,
    worker_row,
)
from tests.integration.mills import BOOK, QUICK, Mill, billed, until
from worker import dispatcher, embedded, executor
from worker.executor import Executor
from worker.sentlog import read_sent
from worker.simulator import start_in_thread


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


def ceilings(mill: Mill, batch: str) -> list[int]:
    """What is reserved for each row, in nano-dollars."""
    with mill.ledger.read() as tx:
        statement = select(schema.jobs.c.ceiling_nano).where(schema.jobs.c.batch_id == batch)
        return list(tx.execute(statement.order_by(schema.jobs.c.row)).scalars())


def arrivals_s(mill: Mill) -> list[float]:
    return [datetime.fromisoformat(call["arrived_at"]).timestamp() for call in mill.simulator.calls()]


def test_every_image_is_on_disk_as_it_was_sent_and_every_cent_as_it_was_billed(mill: Mill) -> None:
    batch = mill.submit(*["a fox"] * 12, n=2)
    stands = mill.run(batch)
    calls = mill.simulator.calls()
    assert (stands.state, stands.jobs["succeeded"], stands.images) == ("done", 12, 24)
    assert (stands.confirmed_nano, stands.possible_nano, stands.reserved_nano) == (billed(calls), 0, 0)
    with mill.ledger.read() as tx:
        rows = {row.path: row.sha256 for row in tx.execute(select(schema.images))}
        ids = set(tx.execute(select(schema.attempts.c.id)).scalars())
    root = mill.folder / "data" / "images"
    assert {str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() for path in mill.images()} == rows
    assert sorted(rows.values()) == sorted(image["sha256"] for call in calls for image in call["images"])
    assert {call["attempt_id"] for call in calls} == ids
    assert len(calls) == len(ids) == 12
    assert mill.spooled() == []


@pytest.mark.parametrize(
    "prompt",
    ["一只红色的狐狸在雪地里，水墨画风格", 'Füchse 🦊 im Schnee\n\t"zitiert" \\ /', "עברית and العربية"],
    ids=["chinese", "emoji", "right-to-left"],
)
def test_a_prompt_arrives_letter_for_letter(mill: Mill, prompt: str) -> None:
    mill.run(mill.submit(prompt))
    (call,) = mill.simulator.calls()
    assert call["prompt_sha256"] == sha256(prompt.encode()).hexdigest()


def test_a_call_that_failed_is_tried_again_under_a_new_id_and_a_new_key(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "POLL_S", 3600.0)  # its booking must wake the dispatcher
    stands = mill.run(mill.submit("a fox [[sim: 500 x1]]"))
    first, second = mill.simulator.calls()
    assert stands.jobs["succeeded"] == 1
    assert stands.attempts == {"errored": 1, "succeeded": 1}
    assert first["attempt_id"] != second["attempt_id"]
    assert first["idempotency_key"] != second["idempotency_key"]
    assert stands.confirmed_nano == billed([first, second])


def test_s14_a_rate_limit_answer_holds_back_everybody_for_as_long_as_it_says(mill: Mill) -> None:
    stands = mill.run(mill.submit("a fox [[sim: 429 1.5 x1]]", "another fox", "a third fox"), in_flight=1)
    assert stands.jobs["succeeded"] == 3
    times = arrivals_s(mill)
    assert len(times) == 4
    # The next call may have been admitted before the answer was booked; after that, everybody waits.
    assert max(after - before for before, after in pairwise(times)) >= 1.4


@pytest.mark.parametrize(("fault", "state"), [("refuse", "refused"), ("400", "failed"), ("422", "failed")])
def test_s16_what_can_never_work_is_final_at_once_and_free(mill: Mill, fault: str, state: str) -> None:
    stands = mill.run(mill.submit(f"a fox [[sim: {fault}]]"))
    assert (stands.state, stands.jobs[state], stands.confirmed_nano) == ("done", 1, 0)
    assert len(mill.simulator.calls()) == 1


def test_a_call_whose_end_was_not_seen_is_held_and_not_repeated(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: reset]]", "a fox [[sim: cut]]")
    stands = mill.run(batch)
    assert (stands.state, stands.jobs["held"]) == ("done", 2)
    assert (stands.confirmed_nano, stands.possible_nano) == (0, sum(ceilings(mill, batch)))
    assert len(mill.simulator.calls()) == 2
    assert stands.confirmed_nano <= billed(mill.simulator.calls()) <= stands.confirmed_nano + stands.possible_nano
    assert mill.images() == mill.spooled() == []


def test_an_unseen_end_is_repeated_under_the_same_key_where_the_batch_allows_it(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: reset x1]]", policy=Policy(retry_unknown=1))
    stands = mill.run(batch)
    first, second = mill.simulator.calls()
    assert stands.attempts == {"unknown": 1, "succeeded": 1}
    assert first["idempotency_key"] == second["idempotency_key"]
    assert ([stands.possible_nano], stands.jobs["succeeded"]) == (ceilings(mill, batch), 1)


def test_a_batch_stops_at_its_budget_and_goes_on_with_more(mill: Mill) -> None:
    batch = mill.submit(*["a fox [[sim: delay 0.1]]"] * 6)
    cap = 2 * ceilings(mill, batch)[0]
    mill.ledger.write(control.set_budget, batch, cap)
    stands = mill.run(batch)
    assert (stands.state, stands.waiting_for) == ("paused", "paused: budget")
    assert stands.reserved_nano == 0
    assert stands.confirmed_nano == billed(mill.simulator.calls()) <= cap
    spent = stands.jobs["succeeded"]
    assert 1 <= spent < 6
    mill.ledger.write(control.set_budget, batch, 5 * cap)
    mill.ledger.write(control.resume, batch)
    stands = mill.run(batch)
    assert (stands.state, stands.jobs["succeeded"]) == ("done", 6)
    assert len(mill.simulator.calls()) == 6


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("401", "invalid_api_key"),
        ("402", "insufficient_balance"),
        ("billing", "billing_hard_limit_reached"),
        ("quota", "insufficient_quota"),
        ("credit", "credit_balance_exhausted"),
    ],
)
def test_s16_account_trouble_stops_the_endpoint_with_at_most_the_calls_in_flight(
    mill: Mill, fault: str, kind: str
) -> None:
    batch = mill.submit(*[f"fox {number} [[sim: {fault} x1]]" for number in range(20)])
    stands = mill.run(batch, in_flight=3)
    assert 1 <= len(mill.simulator.calls()) <= 3
    assert (stands.state, stands.jobs["queued"], stands.jobs["failed"]) == ("open", 20, 0)
    assert kind in (stands.waiting_for or "")
    assert count(mill.ledger, schema.jobs, schema.jobs.c.counted > 0) == 0


def test_s16_work_goes_on_after_the_account_is_in_order_again(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: 401 x1]]", "another fox")
    assert mill.run(batch, in_flight=1).jobs["succeeded"] == 0
    mill.ledger.write(limits.resume_endpoints)
    assert mill.run(batch).jobs["succeeded"] == 2


def test_a_model_that_the_key_may_not_use_leaves_the_others_running(mill: Mill) -> None:
    closed = mill.submit("a fox [[sim: 403]]", "another fox [[sim: 403]]")
    stands = mill.run(closed, in_flight=1)
    assert "for gpt-image-1" in (stands.waiting_for or "")
    assert (stands.jobs["queued"], len(mill.simulator.calls())) == (2, 1)
    other = mill.submit("a fox", model="gpt-image-1-mini")
    assert mill.run(other).jobs["succeeded"] == 1


def test_a_paid_answer_without_a_usable_image_is_charged_and_not_repeated(mill: Mill) -> None:
    stands = mill.run(mill.submit("a fox [[sim: bad-image]]"))
    assert (stands.jobs["failed"], stands.attempts) == (1, {"image_lost": 1})
    assert stands.confirmed_nano == billed(mill.simulator.calls()) > 0
    assert len(mill.simulator.calls()) == 1


def test_usage_that_makes_no_sense_is_charged_at_the_ceiling_and_stops_the_batch(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: bad-usage]]", *["a fox [[sim: delay 0.3]]"] * 12)
    stands = mill.run(batch, in_flight=1)
    assert stands.state == "paused"
    assert "row-1" in (batch_row(mill.ledger, batch).pause_reason or "")
    assert job_row(mill.ledger, batch).charged_nano == ceilings(mill, batch)[0]


def test_a_small_batch_behind_a_large_one_does_not_wait_for_its_end(mill: Mill) -> None:
    mill.simulator.configure(latency_s=0.03)
    large, small = mill.submit(*["a large one"] * 60), mill.submit(*["a small one"] * 4)
    running = mill.executor()
    running.start()
    until(lambda: batch_row(mill.ledger, small).state == "done")
    assert batch_row(mill.ledger, large).state == "open"
    running.stop_admitting()
    assert running.close()
    assert sum(states(mill.ledger, large).values()) == 60


def test_with_the_new_day_the_work_goes_on_by_itself(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day's budget is full; the worker asks again, and finds room at midnight."""
    monkeypatch.setattr(dispatcher, "POLL_S", 0.2)
    batch = mill.submit(*["a fox"] * 3)
    mill.ledger.write(set_cap, Scope.DAY, "", ceilings(mill, batch)[0])
    running = mill.executor()
    running.start()
    until(lambda: stops(mill, batch) == [Scope.DAY])
    before = len(mill.simulator.calls())
    assert (before < 3, batch_row(mill.ledger, batch).state) == (True, "open")
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda tx: real(tx) + 24 * 3600 * 1000)
    until(lambda: len(mill.simulator.calls()) > before)
    mill.ledger.write(set_cap, Scope.DAY, "", None)
    until(lambda: batch_row(mill.ledger, batch).state == "done")
    assert running.close()


def stops(mill: Mill, batch: str) -> list[Scope]:
    with mill.ledger.read() as tx:
        full = stopped_by_budget(tx, batch)
    return [full.scope] if full else []


def test_a_stop_finishes_the_calls_in_flight_and_starts_no_more(mill: Mill) -> None:
    batch = mill.submit(*["a fox [[sim: delay 0.4]]"] * 10)
    stop = threading.Event()
    runner = threading.Thread(target=mill.run, args=(batch, stop))
    runner.start()
    until(lambda: bool(mill.simulator.calls()))
    stop.set()
    runner.join(60)
    calls = len(mill.simulator.calls())
    assert 1 <= calls <= 8
    assert states(mill.ledger, batch) == {"succeeded": calls, "queued": 10 - calls}
    assert mill.run(batch).jobs["succeeded"] == 10


def test_calls_given_up_by_a_hurried_close_are_unknown(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: timeout]]", "a fox [[sim: timeout]]")
    running = mill.executor()
    running.start()
    until(lambda: len(mill.simulator.calls()) == 2)
    running.hurry()
    assert running.close()
    assert states(mill.ledger, batch) == {"held": 2}
    assert worker_row(mill.ledger, running.worker_id).ended_at is not None


def test_a_grace_that_is_over_ends_the_wait_for_calls(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: timeout]]")
    running = mill.executor()
    running.start()
    until(lambda: len(mill.simulator.calls()) == 1)
    assert running.close(grace_s=0.0)
    assert states(mill.ledger, batch) == {"held": 1}


def test_a_key_that_no_header_can_carry_is_refused_at_once(mill: Mill) -> None:
    batch = mill.submit("a fox")
    with pytest.raises(UsageError, match="API key"):
        mill.run(batch, api_key="sk with blanks")
    assert count(mill.ledger, schema.workers) == 0
    assert mill.spooled() == []


def test_s25_a_swept_worker_registers_anew_and_its_late_answer_resolves_the_doubt(mill: Mill) -> None:
    mill.simulator.configure(latency_s=0.5)
    batch = mill.submit("a fox", "another fox")
    running = mill.executor(in_flight=1)
    running.start()
    until(lambda: len(mill.simulator.calls()) == 1)
    swept = running.worker_id
    let_lease_run_out(mill.ledger, swept)
    assert mill.ledger.write(recovery.sweep, steady_worker(mill.ledger), by_policy).workers == (swept,)
    assert states(mill.ledger, batch) == {"held": 1, "queued": 1}
    until(lambda: states(mill.ledger, batch) == {"succeeded": 2})
    assert running.worker_id != swept
    assert running.close()
    assert len(mill.simulator.calls()) == 2


def test_a_doubt_that_the_sweep_had_before_stays_noted_as_sent(mill: Mill) -> None:
    """If this process dies later, its replay must not take the call for one that never left."""
    batch = mill.submit("a fox [[sim: timeout]]", *["another fox"] * 5)
    running = mill.executor(read_timeout_s=0.5, in_flight=1)  # later calls take over the places of booked ones
    running.start()
    until(lambda: len(mill.simulator.calls()) == 1)
    let_lease_run_out(mill.ledger, running.worker_id)
    mill.ledger.write(recovery.sweep, steady_worker(mill.ledger), by_policy)
    until(lambda: states(mill.ledger, batch) == {"held": 1, "succeeded": 5})
    call, *_ = mill.simulator.calls()
    assert attempt_row(mill.ledger, call["attempt_id"]).error_kind == "worker_lost"
    assert call["attempt_id"] in (read_sent(running.spool.folder) or ())
    assert running.close()


def test_a_lease_that_ran_out_unswept_is_renewed_not_replaced(mill: Mill) -> None:
    """After an outage, or a clock set forward, its calls in flight stay its own."""
    running = mill.executor()
    running.start()
    before = running.worker_id
    let_lease_run_out(mill.ledger, before)
    running.register_anew(before)
    assert running.worker_id == before
    assert count(mill.ledger, schema.workers) == 1
    running.close()


def test_two_threads_that_find_the_worker_fenced_register_it_once(mill: Mill) -> None:
    running = mill.executor()
    running.start()
    fenced = running.worker_id
    mill.ledger.write(recovery.sign_off, fenced)
    threads = [threading.Thread(target=running.register_anew, args=(fenced,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(mill.ledger, schema.workers) == 2
    running.close()
    running.register_anew(running.worker_id)
    assert count(mill.ledger, schema.workers) == 2


def test_a_ledger_that_is_away_for_a_while_only_delays(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Admissions and settlements fail for some time; nothing is sent without an admission, nothing is lost."""
    monkeypatch.setattr(executor, "_LEDGER_ASK_AGAIN_MS", 20)
    batch = mill.submit(*["a fox"] * 6)
    failures = iter(range(12))
    write = mill.ledger.write

    def flaky(act, *args, **kwargs):  # type: ignore[no-untyped-def]
        if act.__name__ in ("admit", "settle_and_stop") and next(failures, None) is not None:
            raise LedgerAway("the database does not answer")
        return write(act, *args, **kwargs)

    monkeypatch.setattr(mill.ledger, "write", flaky)
    stands = mill.run(batch)
    assert (stands.state, stands.jobs["succeeded"]) == ("done", 6)
    assert len(mill.simulator.calls()) == 6


def test_an_admission_whose_commit_got_lost_sends_nothing(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit happened, the reply did not come: no socket opens, and the attempt ends as never sent."""
    batch = mill.submit("a fox")
    running = mill.executor()
    write, lost = mill.ledger.write, iter([True])

    def forgetful(act, *args, **kwargs):  # type: ignore[no-untyped-def]
        result = write(act, *args, **kwargs)
        if act.__name__ == "admit" and next(lost, False):
            raise LedgerAway("the connection was lost in COMMIT")
        return result

    monkeypatch.setattr(mill.ledger, "write", forgetful)
    running.start()
    until(lambda: states(mill.ledger, batch) == {"running": 1})
    assert running.held_attempts() == ()
    table = schema.attempts
    change(mill.ledger, table, admitted_at=table.c.admitted_at - 61_000)
    freed = mill.ledger.write(recovery.release_unsent, running.worker_id, running.held_attempts, by_policy)
    assert len(freed) == 1
    running.wake()
    until(lambda: states(mill.ledger, batch) == {"succeeded": 1})
    running.close()
    (call,) = mill.simulator.calls()
    assert attempt_row(mill.ledger, call["attempt_id"]).number == 2


def test_s25_calls_that_nobody_could_send_in_time_are_not_sent(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a suspension of the machine between admission and sending: somebody may have given them up."""
    late = iter([True])
    monkeypatch.setattr(executor, "boot_clock_s", lambda: -1e9 if next(late, False) else 1e18)
    stands = mill.run(mill.submit("a fox"), in_flight=1)
    assert stands.attempts == {"not_sent": 1, "succeeded": 1}
    assert len(mill.simulator.calls()) == 1


def test_a_run_is_told_of_its_progress_and_of_its_end(mill: Mill) -> None:
    batch = mill.submit(*["a fox [[sim: delay 0.3]]"] * 4)
    seen = []
    embedded.run_batch(mill.ledger, mill.settings(), BOOK, batch, on_standing=seen.append, stop=threading.Event())
    assert seen[0].jobs["running"] + seen[0].jobs["queued"] == 4
    assert (seen[-1].state, seen[-1].jobs["succeeded"]) == ("done", 4)


def test_a_batch_that_has_ended_is_not_run_again(mill: Mill) -> None:
    batch = mill.submit("a fox")
    mill.run(batch)
    assert mill.run(batch).state == "done"
    assert len(mill.simulator.calls()) == 1


def test_two_executors_on_one_ledger_share_a_batch_without_a_double_call(mill: Mill) -> None:
    mill.simulator.configure(latency_s=0.02)
    batch = mill.submit(*["a fox"] * 40)
    pair = [Executor(mill.ledger, mill.settings(), BOOK) for _ in range(2)]
    for one in pair:
        one.start()
    until(lambda: batch_row(mill.ledger, batch).state == "done")
    for one in pair:
        assert one.close()
    keys = [call["idempotency_key"] for call in mill.simulator.calls()]
    assert len(keys) == len(set(keys)) == 40
    with mill.ledger.read() as tx:
        workers = set(tx.execute(select(schema.attempts.c.worker_id)).scalars())
    assert workers == {one.worker_id for one in pair}
    assert money(mill.ledger, batch) == (billed(mill.simulator.calls()), 0, 0)


def test_the_usage_of_an_answer_is_kept_as_it_came(mill: Mill) -> None:
    batch = mill.submit("a fox")
    mill.run(batch)
    (call,) = mill.simulator.calls()
    assert json.loads(attempt_row(mill.ledger, call["attempt_id"]).usage) == call["usage"]
