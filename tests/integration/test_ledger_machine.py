"""The ledger as a state machine: whatever is done to it in whatever order, the promises hold after every step.

Hypothesis makes up the orders. One thread: races are tested with barriers elsewhere.
"""

import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from jobs.ledger import control, recount, recovery, schema
from jobs.ledger.admission import WorkerFenced
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.states import JobState, Outcome
from tests.integration.ledgers import (
    account_trouble,
    ask,
    at_once,
    book,
    cost,
    errored,
    image_lost,
    let_lease_run_out,
    live_worker,
    money,
    new_job,
    not_sent,
    open_batch,
    refused,
    rejected,
    steady_worker,
    succeeded,
    throttled,
    unknown,
    worker_row,
)

ENDINGS = (
    *(succeeded, refused, rejected, account_trouble, throttled, errored, unknown, image_lost, not_sent),
    lambda attempt_id: succeeded(attempt_id, nano=None),
    lambda attempt_id: image_lost(attempt_id, nano=None),
)
LATE = (
    *(succeeded, refused, errored, image_lost, not_sent),
    lambda attempt_id: Ending(attempt_id, Outcome.NOT_BILLED),
    lambda attempt_id: Ending(attempt_id, Outcome.BILLED_LOST, cost=cost(), price_book="books"),
)
RETRIED = [JobState.FAILED, JobState.REFUSED, JobState.HELD, JobState.CANCELLED]
FINAL = {"succeeded", "failed", "refused", "cancelled"}
NOBODY, FENCED = "a_nobody", "a_fenced"
"""Attempts that were not admitted: answers to them must change nothing."""
CAPS = st.one_of(st.none(), st.integers(0, 8_000))


class LedgerMachine(RuleBasedStateMachine):
    """Batches, workers and attempts are the bundles; the database is the only other memory."""

    template: ClassVar[Path]
    folder: ClassVar[Path]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    batches = Bundle("batches")
    workers = Bundle("workers")
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.path = self.folder / f"run-{next(self.numbers)}.db"
        shutil.copyfile(self.template, self.path)
        self.ledger = Ledger(f"sqlite:///{self.path}")
        self.sweeper = steady_worker(self.ledger)
        self.states: dict[tuple[str, int], str] = {}
        self.retried = False

    def teardown(self) -> None:
        self.ledger.close()
        for path in self.folder.glob(f"{self.path.name}*"):
            path.unlink()

    @rule(
        target=batches,
        ceilings=st.lists(st.sampled_from([500, 1_000, 2_500]), min_size=1, max_size=4),
        budget=CAPS,
        max_attempts=st.integers(1, 3),
        retry_unknown=st.integers(0, 2),
    )
    def submit(self, ceilings: list[int], budget: int | None, max_attempts: int, retry_unknown: int) -> str:
        rows = [new_job(row, ceiling_nano=ceiling) for row, ceiling in enumerate(ceilings, 1)]
        return open_batch(self.ledger, rows, budget, max_attempts=max_attempts, retry_unknown=retry_unknown)

    @rule(target=workers)
    def start_worker(self) -> str:
        return live_worker(self.ledger)

    @rule(target=attempts, batch=batches, worker=workers)
    def admit(self, batch: str, worker: str) -> str:
        before = self.read_states()
        try:
            admission = ask(self.ledger, batch, 1, worker)
        except WorkerFenced:
            assert before == self.read_states()
            return FENCED
        if not admission.admitted:
            assert admission.wait is not None
            return NOBODY
        (one,) = admission.admitted
        assert before[one.batch_id, one.row] == "queued"
        cap = self.one(select(schema.budgets.c.cap_nano).where(schema.budgets.c.key == batch))
        assert cap is None or sum(money(self.ledger, batch)) <= cap
        assert self.one(select(schema.batches.c.state).where(schema.batches.c.id == batch)) == "open"
        return one.attempt_id

    @rule(attempt=attempts, ending=st.sampled_from(ENDINGS))
    def answer(self, attempt: str, ending: Any) -> None:
        """In time, late, or for the second time: the bundle forgets nothing."""
        book(self.ledger, ending(attempt), retry=at_once)

    @rule(group=st.lists(st.tuples(attempts, st.sampled_from(ENDINGS)), max_size=4))
    def answer_together(self, group: list[tuple[str, Any]]) -> None:
        book(self.ledger, *(ending(attempt) for attempt, ending in group), retry=at_once)

    @rule(attempt=attempts, ending=st.sampled_from(LATE))
    def resolve(self, attempt: str, ending: Any) -> None:
        outcome = self.one(select(schema.attempts.c.outcome).where(schema.attempts.c.id == attempt))
        booked = book(self.ledger, ending(attempt), retry=at_once).attempts
        assert booked == (attempt not in (NOBODY, FENCED) and outcome in (None, "unknown"))

    @rule(worker=consumes(workers))
    def crash(self, worker: str) -> None:
        open_before = self.open_attempts(worker)
        lives = worker_row(self.ledger, worker).ended_at is None
        let_lease_run_out(self.ledger, worker)
        swept = self.ledger.write(recovery.sweep, self.sweeper, at_once)
        assert swept.workers == ((worker,) if lives else ())
        assert swept.attempts == open_before
        assert self.open_attempts(worker) == 0
        assert not self.ledger.write(recovery.beat, worker, in_flight=0)

    @rule(worker=workers)
    def stop_worker(self, worker: str) -> None:
        """It stays in the bundle: a process that goes on although it was swept."""
        self.ledger.write(recovery.sign_off, worker)
        self.ledger.write(recovery.close_spool, worker, at_once)
        assert self.open_attempts(worker) == 0

    @rule(batch=batches, states=st.sets(st.sampled_from(RETRIED), min_size=1))
    def retry(self, batch: str, states: set[JobState]) -> None:
        expected = sum(state in states for (of_batch, _), state in self.read_states().items() if of_batch == batch)
        assert self.ledger.write(control.retry, batch, sorted(states)) == expected
        self.retried = True

    @rule(batch=batches)
    def cancel(self, batch: str) -> None:
        self.ledger.write(control.cancel, batch)

    @rule(batch=batches)
    def pause(self, batch: str) -> None:
        self.ledger.write(control.pause, batch, "operator")

    @rule(batch=batches)
    def resume(self, batch: str) -> None:
        self.ledger.write(control.resume, batch)

    @rule(batch=batches, cap=CAPS)
    def change_budget(self, batch: str, cap: int | None) -> None:
        self.ledger.write(control.set_budget, batch, cap)

    @invariant()
    def kept_totals_equal_a_full_count(self) -> None:
        with self.ledger.read() as tx:
            assert recount.differences(tx) == []

    @invariant()
    def final_jobs_move_only_when_a_person_retries_them(self) -> None:
        found = self.read_states()
        for job, before in self.states.items():
            if before in FINAL and found[job] != before:
                assert self.retried
                assert before != "succeeded"
        self.states, self.retried = found, False

    @invariant()
    def a_running_job_has_one_open_attempt_and_no_job_has_two(self) -> None:
        statement = select(schema.attempts.c.batch_id, schema.attempts.c.row)
        with self.ledger.read() as tx:
            open_now = Counter(
                tuple(row) for row in tx.execute(statement.where(schema.attempts.c.outcome.is_(None)))
            )
        running = {job for job, state in self.read_states().items() if state == "running"}
        assert running <= open_now.keys()
        assert all(number == 1 for number in open_now.values())

    @invariant()
    def a_held_job_has_possible_money_and_a_job_that_succeeded_its_images_once(self) -> None:
        columns = (schema.jobs.c.state, schema.jobs.c.possible_nano, schema.jobs.c.images, schema.jobs.c.n)
        with self.ledger.read() as tx:
            for state, possible, images, n in tx.execute(select(*columns)):
                assert state != "held" or possible > 0
                assert images == (n if state == "succeeded" else 0)

    @invariant()
    def an_open_batch_has_work_and_one_that_is_done_has_none(self) -> None:
        unfinished = {batch for (batch, _), state in self.read_states().items() if state in ("queued", "running")}
        with self.ledger.read() as tx:
            for batch, state in tx.execute(select(schema.batches.c.id, schema.batches.c.state)):
                assert state != "open" or batch in unfinished
                assert state != "done" or batch not in unfinished

    def read_states(self) -> dict[tuple[str, int], str]:
        columns = (schema.jobs.c.batch_id, schema.jobs.c.row, schema.jobs.c.state)
        with self.ledger.read() as tx:
            return {(batch, row): state for batch, row, state in tx.execute(select(*columns))}

    def open_attempts(self, worker: str) -> int:
        mine = (schema.attempts.c.worker_id == worker, schema.attempts.c.outcome.is_(None))
        with self.ledger.read() as tx:
            return len(tx.execute(select(schema.attempts.c.id).where(*mine)).all())

    def one(self, statement: Any) -> Any:
        with self.ledger.read() as tx:
            return tx.execute(statement).scalar()


@pytest.mark.filterwarnings("error")
def test_the_promises_hold_after_every_step_of_any_order(sqlite_template: Path, tmp_path: Path) -> None:
    LedgerMachine.template, LedgerMachine.folder = sqlite_template, tmp_path
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=50,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
