"""The thread that decides whose turn it is: free slots go round the batches that have due work.

Each round divides the free slots so that all have equally many in flight, and asks for those first that were served
longest ago: a ten-row batch behind a million-row one starts with the next free slot, or with the next permit. It
looks again on a wake-up, when a slot comes free, at the next due time, and every POLL_S in any case.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.errors import LedgerError
from jobs.events import tell
from jobs.ledger.admission import Admission, Wait
from jobs.ledger.recovery import DueBatch
from worker.shares import Turns, fair_shares
from worker.slots import Slots

POLL_S = 5.0
"""Without any wake-up, due work is found this soon: a broker that lost every ticket costs no more than this."""
_LIST_EVERY_S = 0.5
_BREATH_S = 0.05
"""Slots that come free within this time are filled by one admission; what was admitted ahead bridges it."""


class Dispatcher:
    """Runs until `stopping` is set. `due` names the batches with queued jobs, `in_flight` counts the open attempts
    of each, `admit` admits and sends."""

    def __init__(
        self,
        due: Callable[[], Sequence[DueBatch]],
        in_flight: Callable[[], Mapping[str, int]],
        admit: Callable[[str, int], Admission],
        slots: Slots,
        stopping: threading.Event,
    ) -> None:
        self._due = due
        self._in_flight = in_flight
        self._admit = admit
        self._slots = slots
        self._stopping = stopping
        self._woken = threading.Event()
        self._turns = Turns()
        self._listed: dict[str, DueBatch] = {}
        self._listed_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="imagemill-dispatcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def join(self) -> None:
        """Wait for the round under way; call it after setting `stopping`."""
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            wait_s = self._try_round()
            if wait_s > 0:
                self._woken.wait(wait_s)
                self._listed_at_s = 0.0

    def _try_round(self) -> float:
        try:
            return self._round()
        except Exception as error:  # whatever it is, a worker without its dispatcher would be deaf
            tell("admission_failed", batch=None, error=repr(error)[:500])
            return POLL_S

    def _round(self) -> float:
        """Give the free slots to the batches in turn. Returns seconds to wait before the next round."""
        if not self._due_batches():
            return POLL_S
        free = self._slots.take(POLL_S)
        batches = self._due_batches() if free else []  # others may have come while no slot was free
        if not batches or self._stopping.is_set():
            self._slots.give(free)
            return 0
        turn = _Round(free)
        try:
            self._go_round(turn, batches)
        finally:
            self._slots.give(turn.free)
        return turn.pause_s() if turn.waiting == len(batches) else _BREATH_S

    def _go_round(self, turn: "_Round", batches: Sequence[DueBatch]) -> None:
        """What some leave unused goes to the next, in the end to those who have more than their share in flight."""
        unused = 0
        shares = zip(batches, self._shares(turn.free, batches), strict=True)
        for batch, share in sorted(shares, key=lambda pair: pair[1] == 0):
            if self._stopping.is_set() or not turn.free:
                return
            if turn.holds_back(batch):
                unused += share
            elif most := min(turn.free, share + unused):
                admission = self._admit(batch.batch_id, most)
                unused = most - len(admission.admitted)
                turn.note(admission)
                if admission.admitted:
                    self._turns.served(batch.batch_id)

    def _shares(self, free: int, batches: Sequence[DueBatch]) -> list[int]:
        if len(batches) == 1:
            return [free]
        counts = self._in_flight()
        return fair_shares(free, [counts.get(batch.batch_id, 0) for batch in batches])

    def _due_batches(self) -> list[DueBatch]:
        """The batches with queued jobs, those first that were served longest ago."""
        if time.monotonic() - self._listed_at_s > _LIST_EVERY_S:
            self._listed = {batch.batch_id: batch for batch in self._list()}
            self._turns.keep(self._listed)
            self._listed_at_s = time.monotonic()
        return [self._listed[batch_id] for batch_id in self._turns.order(self._listed)]

    def _list(self) -> Sequence[DueBatch]:
        try:
            return self._due()
        except LedgerError as error:
            tell("admission_failed", batch=None, error=type(error).__name__)
            return []


@dataclass(slots=True)
class _Round:
    """What one round has left, and why batches wait."""

    free: int
    waits: list[Wait] = field(default_factory=list)
    held_back: int = 0

    @property
    def waiting(self) -> int:
        return len(self.waits) + self.held_back

    def note(self, admission: Admission) -> None:
        self.free -= len(admission.admitted)
        if admission.wait:
            self.waits.append(admission.wait)

    def holds_back(self, batch: DueBatch) -> bool:
        """Whether other batches were just told to wait for permits, for each of its models: so would it be."""
        limited = {wait.model for wait in self.waits if wait.reason == "rate_limit"}
        waits = bool(batch.models) and limited.issuperset(batch.models)
        self.held_back += waits
        return waits

    def pause_s(self) -> float:
        """Every batch waits for something: until the first of these is over."""
        timed = [wait.for_ms / 1000 for wait in self.waits if wait.for_ms is not None]
        return max(_BREATH_S, min([*timed, POLL_S]))
