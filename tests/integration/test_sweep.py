"""The timers of a worker: the heartbeat goes on whatever happens, the dead are swept, their spools replayed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import LedgerAway
from jobs.ledger import recovery, schema
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import (
    ask,
    attempt_row,
    by_policy,
    change,
    count,
    let_lease_run_out,
    live_worker,
    open_batch,
    states,
    steady_worker,
    worker_row,
)
from tests.integration.mills import BOOK, QUICK, Mill, until
from worker import sweep as module
from worker.executor import Executor
from worker.simulator import start_in_thread
from worker.sweep import Timer


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


@pytest.fixture
def running(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    """A started executor with quick timers, for a batch that does not exist."""
    monkeypatch.setattr(module, "BEAT_EVERY_S", 0.03)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.03)
    executor = Executor(mill.ledger, mill.settings(), BOOK, only_batch="b_nothing")
    executor.start()
    timer = Timer(executor)
    timer.start()
    yield executor
    executor.close()
    timer.close()


def beat_at(mill: Mill, executor: Executor) -> int:
    return int(worker_row(mill.ledger, executor.worker_id).beat_at)


def test_the_heart_beats(mill: Mill, running: Executor) -> None:
    first = beat_at(mill, running)
    until(lambda: beat_at(mill, running) > first)


def test_the_heart_beats_on_after_the_ledger_was_away(
    mill: Mill, running: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([LedgerAway("away"), ValueError("a bug")] * 3)
    write = mill.ledger.write

    def flaky(act, *args, **kwargs):  # type: ignore[no-untyped-def]
        if act.__name__ in ("beat", "win_sweep") and (failure := next(failures, None)):
            raise failure
        return write(act, *args, **kwargs)

    monkeypatch.setattr(mill.ledger, "write", flaky)
    first = beat_at(mill, running)
    until(lambda: next(failures, None) is None and beat_at(mill, running) > first)


def test_the_heart_beats_while_a_replay_takes_long(
    mill: Mill, running: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying, go_on = threading.Event(), threading.Event()

    def long_replay(_: Executor) -> None:
        replaying.set()
        go_on.wait(60)

    monkeypatch.setattr(module, "replay_abandoned", long_replay)
    assert replaying.wait(60)
    first = beat_at(mill, running)
    until(lambda: beat_at(mill, running) > first)
    go_on.set()


def test_a_worker_that_was_swept_registers_anew(mill: Mill, running: Executor) -> None:
    running.stop_admitting()  # an admission would find it out as well
    swept = running.worker_id
    let_lease_run_out(mill.ledger, swept)
    mill.ledger.write(recovery.sweep, steady_worker(mill.ledger), by_policy)
    until(lambda: running.worker_id != swept)
    until(lambda: count(mill.ledger, schema.workers, schema.workers.c.id == running.worker_id) == 1)


def test_the_dead_are_swept_by_a_steady_worker(mill: Mill, running: Executor) -> None:
    batch, dead = open_batch(mill.ledger, 3), live_worker(mill.ledger)
    ask(mill.ledger, batch, 3, dead)
    let_lease_run_out(mill.ledger, dead)
    table = schema.workers
    change(mill.ledger, table, table.c.id == running.worker_id, steady_since=0)
    until(lambda: states(mill.ledger, batch) == {"held": 3})
    assert worker_row(mill.ledger, dead).ended_at is not None


def test_a_sweep_goes_on_until_everything_is_closed(
    mill: Mill, running: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Portions keep the transactions short; they must not make the dead wait for the next period."""
    monkeypatch.setattr(recovery, "_MOST_AT_ONCE", 2)
    batch, dead = open_batch(mill.ledger, 9), live_worker(mill.ledger)
    ask(mill.ledger, batch, 9, dead)
    let_lease_run_out(mill.ledger, dead)
    table = schema.workers
    change(mill.ledger, table, table.c.id == running.worker_id, steady_since=0)
    until(lambda: states(mill.ledger, batch) == {"held": 9})


def test_attempts_whose_admission_reply_was_lost_are_freed(mill: Mill, running: Executor) -> None:
    batch = open_batch(mill.ledger)
    (lost,) = ask(mill.ledger, batch, 1, running.worker_id).admitted
    table = schema.attempts
    change(mill.ledger, table, admitted_at=table.c.admitted_at - 61_000)
    until(lambda: attempt_row(mill.ledger, lost.attempt_id).outcome == "not_sent")


def test_a_worker_that_has_signed_off_does_not_come_back(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_EVERY_S", 0.01)
    executor = mill.executor()
    timer = Timer(executor)
    executor.start()
    timer.start()
    executor.close()
    beats = threading.Event()
    beat = recovery.beat
    monkeypatch.setattr(recovery, "beat", lambda *args, **more: (beats.set(), beat(*args, **more))[1])
    assert beats.wait(60)
    timer.close()
    assert count(mill.ledger, schema.workers) == 1
    assert worker_row(mill.ledger, executor.worker_id).ended_at is not None


def test_timers_that_never_started_can_be_closed(mill: Mill) -> None:
    executor = mill.executor()
    Timer(executor).close()
    executor.start()
    assert executor.close()


def test_a_call_admitted_while_a_beat_stands_still_is_not_taken_for_lost(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspended process, a ledger that hangs: what the worker knew before the beat is old when it comes back."""
    executor = mill.executor()
    executor.start()
    write = mill.ledger.write

    def stand_still(act, *args, **kwargs):  # type: ignore[no-untyped-def]
        if act is recovery.beat:
            mill.submit("a fox [[sim: delay 0.5]]")
            executor.wake()
            until(lambda: bool(executor.held_attempts()))
            change(mill.ledger, schema.attempts, admitted_at=schema.attempts.c.admitted_at - 61_000)
        return write(act, *args, **kwargs)

    monkeypatch.setattr(mill.ledger, "write", stand_still)
    Timer(executor)._beat()
    until(lambda: not executor.held_attempts())
    executor.close()
    assert count(mill.ledger, schema.attempts) == len(mill.simulator.calls()) == 1
