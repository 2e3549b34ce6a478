"""The ledger as a state machine: everything that can happen to it, in whatever order.

Hypothesis makes up the orders, `ledger_model` remembers in dictionaries what they should have come to, and
`ledger_promises` compares after each step. One thread: races between processes are in tests/races. Run by
test_ledger_machine.py, and at length by the slow tests.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from jobs.ledger import clock, control, recovery, schema
from jobs.ledger.admission import WorkerFenced
from jobs.ledger.budgets import Scope, set_cap
from jobs.ledger.endings import Ending
from jobs.ledger.engine import Ledger
from jobs.money import Cost
from jobs.states import JobState, Outcome
from tests.integration import ledgers
from tests.integration.ledger_model import Attempt, Job, Model
from tests.integration.ledger_promises import Seen, broken, covers, look
from tests.integration.ledgers import ask, at_once, book, change, live_worker, new_job, open_batch, steady_worker

ANSWERS = (
    *(ledgers.succeeded, ledgers.image_lost, ledgers.refused, ledgers.rejected, ledgers.account_trouble),
    *(ledgers.throttled, ledgers.errored, ledgers.unknown, ledgers.not_sent),
    lambda attempt_id: ledgers.succeeded(attempt_id, nano=None),
    lambda attempt_id: ledgers.image_lost(attempt_id, nano=None),
)
RETRIED = [JobState.FAILED, JobState.REFUSED, JobState.HELD, JobState.CANCELLED]
NOBODY = "a_nobody"
"""An attempt that was not admitted: answers to it must change nothing."""
TAGS = ("team=red", "team=blue")
CAPS = st.sampled_from([None, None, None, 0, 3_000, 8_000, 20_000])
ROWS = st.lists(st.tuples(st.sampled_from([500, 1_000, 2_500]), st.sampled_from(TAGS)), min_size=4, max_size=8)
MASKS = st.integers(0, 31)
BUDGETS = (
    *((Scope.BATCH, ""), (Scope.OVERALL, ""), (Scope.DAY, ""), (Scope.MONTH, "")),
    *((Scope.TAG, tag) for tag in TAGS),
)


def stated(attempt_id: str, billed_nano: int | None, again: bool) -> Ending:
    """What a person or the books say of a doubt; None: that it was not billed."""
    outcome = Outcome.NOT_BILLED if billed_nano is None else Outcome.BILLED_LOST
    price = None if billed_nano is None else Cost.stated(billed_nano)
    return Ending(attempt_id, outcome, error_kind=str(outcome), cost=price, price_book="books", retryable=again)


class LedgerMachine(RuleBasedStateMachine):
    """Batches, workers and attempts are the bundles."""

    new_ledger: ClassVar[Callable[[], Ledger]]
    """An empty ledger for each run; closed by it."""

    batches = Bundle("batches")
    workers = Bundle("workers")
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = type(self).new_ledger()
        self.sweeper = steady_worker(self.ledger)
        # It has watched for so long that it may judge by the hard deadline as well.
        change(self.ledger, schema.workers, steady_since=0)
        self.model = Model()
        self.states: dict[tuple[str, int], str] = {}
        self.person_moved = False

    def teardown(self) -> None:
        self.ledger.close()

    @initialize(target=workers)
    def a_first_worker(self) -> str:
        return live_worker(self.ledger)

    @initialize(target=batches, rows=ROWS, max_attempts=st.integers(1, 3), retry_unknown=st.integers(0, 2))
    def a_first_batch(self, rows: list[tuple[int, str]], max_attempts: int, retry_unknown: int) -> str:
        return self._submit(rows, None, max_attempts, retry_unknown)

    @rule(
        target=batches,
        rows=ROWS,
        budget=CAPS,
        max_attempts=st.integers(1, 3),
        retry_unknown=st.integers(0, 2),
    )
    def submit(self, rows: list[tuple[int, str]], budget: int | None, max_attempts: int, retry_unknown: int) -> str:
        return self._submit(rows, budget, max_attempts, retry_unknown)

    def _submit(
        self, rows: list[tuple[int, str]], budget: int | None, max_attempts: int, retry_unknown: int
    ) -> str:
        jobs = [
            new_job(row, ceiling_nano=ceiling, tags=dict([tag.split("=")]))
            for row, (ceiling, tag) in enumerate(rows, 1)
        ]
        batch = open_batch(self.ledger, jobs, budget, max_attempts=max_attempts, retry_unknown=retry_unknown)
        for row, (ceiling, tag) in enumerate(rows, 1):
            self.model.jobs[batch, row] = Job(batch, ceiling, tag, max_attempts, retry_unknown)
        return batch

    @rule(target=workers)
    def start_worker(self) -> str:
        return live_worker(self.ledger)

    @rule(target=attempts, batch=batches, worker=workers, most=st.integers(1, 3))
    def admit(self, batch: str, worker: str, most: int) -> Any:
        return multiple(*(self._admit(batch, self._alive(worker), most) or [NOBODY]))

    @rule(batch=batches, worker=workers)
    def try_to_admit_after_the_end(self, batch: str, worker: str) -> None:
        """A process that goes on although it was swept."""
        assert self._lives(worker) or self._admit(batch, worker, 3) == []

    @rule(
        target=attempts,
        batch=batches,
        worker=workers,
        ends=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3),
    )
    def work(self, batch: str, worker: str, ends: list[Callable[[str], Ending]]) -> Any:
        """Admitted and answered, as most calls are; by a new worker where this one was swept."""
        admitted = self._admit(batch, self._alive(worker), len(ends))
        self._book([ending(one) for one, ending in zip(admitted, ends, strict=False)])
        return multiple(*admitted)

    @rule(target=attempts, batch=batches, those=st.lists(workers, min_size=2, max_size=3))
    def deliver_the_ticket_again(self, batch: str, those: list[str]) -> Any:
        """What the first one could take, the others cannot take again."""
        those = [self._alive(worker) for worker in those]
        taken = [self._admit(batch, worker, 50) for worker in those]
        assert not any(taken[1:])
        return multiple(*[one for admitted in taken for one in admitted])

    @rule(group=st.lists(st.tuples(attempts, st.sampled_from(ANSWERS)), min_size=1, max_size=4))
    def answer(self, group: list[tuple[str, Callable[[str], Ending]]]) -> None:
        """In time, late, by a zombie, or for the second time: the bundle forgets nothing."""
        self._book([ending(attempt) for attempt, ending in group])

    @rule(mask=MASKS, ending=st.sampled_from(ANSWERS))
    def answer_doubts(self, mask: int, ending: Callable[[str], Ending]) -> None:
        doubts = [name for name, one in self.model.attempts.items() if one.outcome == "unknown"]
        self._book([ending(name) for name in _chosen(doubts, mask)])

    @rule(attempt=attempts, billed=st.one_of(st.none(), st.integers(1, 3_000)), again=st.booleans())
    def resolve(self, attempt: str, billed: int | None, again: bool) -> None:
        one = self.model.attempts.get(attempt)
        if one and one.outcome == "unknown":
            self._book([stated(attempt, billed, again)])
            self.person_moved = True
            if again and self._look().states[self._key(one.job)] == "queued":
                one.job.queue_again(doubts_forgiven=True)

    @rule(attempt=attempts)
    def let_the_deadline_pass(self, attempt: str) -> None:
        table = schema.attempts
        change(self.ledger, table, table.c.id == attempt, deadline_at=table.c.admitted_at - 10**6)
        if one := self.model.attempts.get(attempt):
            one.overdue = True

    @rule()
    def sweep(self) -> None:
        swept = self.ledger.write(recovery.sweep, self.sweeper, at_once)
        gone = self.model.open_ids(lambda one: one.worker in self.model.ended_workers)
        late = self.model.open_ids(lambda one: one.overdue and one.worker not in self.model.ended_workers)
        self.model.book(*map(ledgers.unknown, gone), lost=True)
        self.model.book(*map(ledgers.unknown, late))
        assert swept.attempts == len(gone) + len(late)

    @rule(worker=workers)
    def lose_the_lease(self, worker: str) -> None:
        """It stays in the bundle: a process that goes on although it was swept."""
        lived = self._lives(worker)
        ledgers.let_lease_run_out(self.ledger, worker)
        gone = self.model.open_ids(lambda one: one.worker in {worker, *self.model.ended_workers})
        late = self.model.open_ids(lambda one: one.overdue)
        swept = self.ledger.write(recovery.sweep, self.sweeper, at_once)
        assert swept.workers == ((worker,) if lived else ())
        assert swept.attempts == len({*gone, *late})
        self.model.book(*map(ledgers.unknown, gone), lost=True)
        self.model.book(*map(ledgers.unknown, late))
        self.model.ended_workers.add(worker)

    @rule(worker=workers)
    def beat(self, worker: str) -> None:
        assert self.ledger.write(recovery.beat, worker, in_flight=0) == self._lives(worker)

    @rule(worker=workers, mask=MASKS)
    def lose_the_reply_to_an_admission(self, worker: str, mask: int) -> None:
        """Of its open attempts it knows those of the mask."""
        mine = self.model.open_ids(lambda one: one.worker == worker)
        held = _chosen(mine, mask)
        freed = self.ledger.write(recovery.release_unsent, worker, lambda: held, at_once, signed_off=True)
        assert len(freed) == self.model.book(*map(ledgers.not_sent, sorted({*mine} - {*held})))

    @rule(worker=workers, owned=MASKS, noted=st.one_of(st.none(), MASKS))
    def replay(self, worker: str, owned: int, noted: int | None) -> None:
        """Its process is dead: answers that it owned are booked, then its spool is closed, by its notes if it has
        any. What it owned had been sent."""
        mine = [name for name, one in self.model.attempts.items() if one.worker == worker]
        doubtful = [name for name in mine if self.model.attempts[name].outcome in (None, "unknown")]
        answered = _chosen(doubtful, owned)
        self._book([ledgers.succeeded(name) for name in answered])
        sent = None if noted is None else {*answered, *_chosen(mine, noted)}
        closed = self.ledger.write(recovery.close_spool, worker, at_once, sent)
        self.model.ended_workers.add(worker)
        never = [] if sent is None else [name for name in mine if name not in sent and self._may_be_unsent(name)]
        freed = self.model.book(*map(ledgers.not_sent, never))
        lost = self.model.open_ids(lambda one: one.worker == worker)
        assert len(closed) == freed + self.model.book(*map(ledgers.unknown, lost), lost=True)

    @rule(batch=batches, states=st.sets(st.sampled_from(RETRIED), min_size=1))
    def retry(self, batch: str, states: set[JobState]) -> None:
        before = self.states
        moved = [job for job, state in before.items() if job[0] == batch and state in states]
        assert self.ledger.write(control.retry, batch, sorted(states)) == len(moved)
        for job in moved:
            self.model.jobs[job].queue_again(doubts_forgiven=before[job] == "held")
        self.person_moved = True

    @rule(batch=batches, act=st.sampled_from([control.resume] * 4 + [control.pause, control.cancel]))
    def decide(self, batch: str, act: Callable[..., Any]) -> None:
        self.ledger.write(act, batch, *(["operator"] if act is control.pause else []))

    @rule(batch=batches, which=st.sampled_from(BUDGETS), cap=CAPS)
    def change_a_cap(self, batch: str, which: tuple[Scope, str], cap: int | None) -> None:
        scope, key = which
        self.ledger.write(set_cap, scope, batch if scope is Scope.BATCH else key, cap)

    @invariant()
    def the_promises_hold(self) -> None:
        seen = self._look()
        assert broken(seen, self.model, self.states, person_moved=self.person_moved) == []
        self.states, self.person_moved = seen.states, False

    def _admit(self, batch: str, worker: str, most: int) -> list[str]:
        """Everything that may be wrong with an admission is looked at here."""
        before = self._look().states
        try:
            admission = ask(self.ledger, batch, most, worker)
        except WorkerFenced:
            assert not self._lives(worker)
            return []
        assert self._lives(worker)
        assert admission.admitted or admission.wait is not None
        with self.ledger.read() as tx:
            day = clock.utc_day(clock.now(tx))
        for one in admission.admitted:
            assert before[one.batch_id, one.row] == "queued"
            self.model.admit(one, worker, day)
        if admission.admitted:
            self._assert_no_cap_passed(batch, [self.model.attempts[one.attempt_id] for one in admission.admitted])
        return [one.attempt_id for one in admission.admitted]

    def _assert_no_cap_passed(self, batch: str, admitted: Sequence[Attempt]) -> None:
        seen = self._look()
        assert seen.batches[batch] == "open"
        for row in seen.budgets:
            if row.cap_nano is not None and any(map(covers(row), admitted)):
                assert sum(self.model.money(covers(row))) <= row.cap_nano, row

    def _book(self, endings: list[Ending]) -> None:
        assert book(self.ledger, *endings, retry=at_once).attempts == self.model.book(*endings)

    def _may_be_unsent(self, name: str) -> bool:
        one = self.model.attempts[name]
        return one.outcome is None or (one.outcome == "unknown" and one.lost)

    def _alive(self, worker: str) -> str:
        """This worker, or a new one where it was swept."""
        return worker if self._lives(worker) else live_worker(self.ledger)

    def _lives(self, worker: str) -> bool:
        return worker not in self.model.ended_workers

    def _key(self, job: Job) -> tuple[str, int]:
        return next(key for key, one in self.model.jobs.items() if one is job)

    def _look(self) -> Seen:
        with self.ledger.read() as tx:
            return look(tx)


def length(runs: int, steps: int) -> settings:
    """So many made-up orders of so many steps each; one that fails is shortened for as long as that takes."""
    return settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def _chosen(names: Sequence[str], mask: int) -> list[str]:
    return [name for place, name in enumerate(names) if mask >> place & 1]
