"""The thread that makes answers safe and books them: own in the spool, publish, settle, release.

Answers come in from the network thread and are handled in groups, whatever has arrived. Once owned, an answer is
never lost: a ledger that is away and an image store that is full are waited for, and a process that dies leaves the
group to a replay. One that cannot be owned ends as unknown at once. A disk that fails is never asked a second time.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum

from jobs.errors import LedgerAway
from jobs.events import tell
from jobs.ledger.admission import Admitted
from jobs.ledger.engine import RolledBack
from jobs.states import Outcome
from worker.booking import Booking
from worker.calls import Answer
from worker.disk import is_full
from worker.spool import Group, Spool

_MOST_PER_GROUP = 300
_GATHER_S = 0.1
"""Answers that come in within this time are booked by one transaction. Nobody waits: their slots are free."""
_LONGEST_WAIT_S = 10.0


class Settler:
    """Owns one thread. `admitted` is the executor's map of open attempts; `on_booked` is told, on the settler's
    thread, which of them are booked, and whether any of their jobs is queued again; `on_disk_failed` is told what a
    disk said that refused for another reason than being full."""

    def __init__(
        self,
        spool: Spool,
        booking: Booking,
        admitted: Mapping[str, Admitted],
        on_booked: Callable[[Sequence[Answer], bool], None],
        on_disk_failed: Callable[[str], None],
    ) -> None:
        self._spool = spool
        self._booking = booking
        self._admitted = admitted
        self._on_booked = on_booked
        self._on_disk_failed = on_disk_failed
        self._queue: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._store_failed = False
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imagemill-settler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, answer: Answer) -> None:
        """Take over an answer. Thread-safe, quick."""
        self._queue.put(answer)

    def close(self, patience_s: float) -> bool:
        """Book what has come in, then end. With the ledger away for longer than `patience_s` it gives up: owned
        answers stay in the spool. Returns whether everything was booked."""
        self._queue.put(None)
        self._thread.join(patience_s)
        self._give_up.set()
        self._thread.join()
        return self._queue.empty()

    def _run(self) -> None:
        while not self._give_up.is_set():
            group, last = self._next_group()
            if group:
                self._handle(group)
            if last:
                return

    def _next_group(self) -> tuple[list[Answer], bool]:
        """Wait for an answer, then take what else is there; True with it when the end was reached."""
        first = self._queue.get()
        if first is None:
            return [], True
        group = [first]
        if self._queue.qsize() + 1 < _MOST_PER_GROUP:
            self._give_up.wait(_GATHER_S)
        while len(group) < _MOST_PER_GROUP:
            try:
                answer = self._queue.get_nowait()
            except queue.Empty:
                break
            if answer is None:
                return group, True
            group.append(answer)
        return group, False

    def _handle(self, answers: list[Answer]) -> None:
        owned, answers = self._own(answers)
        if self._book_patiently(answers):
            self._release(owned)

    def _own(self, answers: list[Answer]) -> tuple[Group, list[Answer]]:
        """The group as the spool owns it, and the answers to book: those it could not keep are in doubt now. A
        second fsync after a failed one proves nothing, so there is none."""
        try:
            return self._spool.own(answers), answers
        except Exception as error:
            tell("answer_not_kept", attempts=[answer.attempt_id for answer in answers], error=str(error))
            self._blame_disk(error)
            return Group(None, ()), [_not_kept(answer, error) for answer in answers]

    def _book_patiently(self, answers: list[Answer]) -> bool:
        """Book the group; if that fails, one by one, so that a single bad one cannot hold up the others."""
        if not self._store_failed and self._try(answers) is _Booked.YES:
            return True
        booked = [self._book_one(answer) for answer in answers]
        return all(booked)

    def _book_one(self, answer: Answer) -> bool:
        """Wait for a ledger that is away or a store that is full; an answer that fails by itself stays in the spool
        for a replay. So do all images once the store has failed."""
        if self._store_failed and answer.images:
            return False
        wait_s = 0.1
        while (booked := self._try([answer])) is _Booked.LATER:
            if self._give_up.wait(wait_s):
                return False
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
        if booked is _Booked.NO:
            tell("answer_not_booked", attempt=answer.attempt_id)
        return booked is _Booked.YES

    def _try(self, answers: list[Answer]) -> "_Booked":
        try:
            settled = self._booking.book(answers, self._admitted, self._spool.folder)
        except (LedgerAway, RolledBack) as error:
            tell("settlement_failed", attempts=len(answers), error=type(error).__name__)
            return _Booked.LATER
        except OSError as error:
            tell("settlement_failed", attempts=len(answers), error=str(error))
            self._blame_disk(error)
            self._store_failed = not is_full(error)
            return _Booked.LATER if is_full(error) else _Booked.NO
        except Exception as error:  # whatever it is, the thread that books answers must not end by it
            tell("settlement_failed", attempts=len(answers), error=repr(error)[:500])
            return _Booked.NO
        self._on_booked(answers, settled.attempts > settled.jobs_ended)
        return _Booked.YES

    def _blame_disk(self, error: Exception) -> None:
        if isinstance(error, OSError) and not is_full(error):
            self._on_disk_failed(str(error))

    def _release(self, owned: Group) -> None:
        try:
            self._spool.release(owned)
        except OSError as error:  # a replay finds it settled and removes it
            tell("answer_not_released", error=str(error))


class _Booked(Enum):
    YES = "yes"
    NO = "no"
    LATER = "later"


def _not_kept(answer: Answer, error: Exception) -> Answer:
    """What is left of an answer that could not be made safe: nothing to lose, or a call that may have been paid."""
    if not (answer.images or answer.usage):
        return answer
    return replace(
        answer,
        outcome=Outcome.UNKNOWN,
        error_kind="answer_not_kept",
        error_message=f"the answer came, but the spool could not keep it: {error}"[:500],
        images=(),
        usage=None,
        retryable=False,
    )
