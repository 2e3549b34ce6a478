"""The thread that decides whose turn it is: free slots go round the batches that have due work.

Each round divides the free slots evenly, so that a ten-row batch behind a million-row one starts with the next free
slots. It looks again on a wake-up, when a slot comes free, at the next due time, and every POLL_S in any case.
"""

import threading
import time
from collections.abc import Callable, Sequence

from jobs.errors import LedgerError
from jobs.events import tell
from jobs.ledger.admission import Admission, Wait
from worker.slots import Slots

POLL_S = 5.0
"""Without any wake-up, due work is found this soon: a broker that lost every ticket costs no more than this."""
_LIST_EVERY_S = 0.5
_BREATH_S = 0.05
"""Slots that come free within this time are filled by one admission; what was admitted ahead bridges it."""


class Dispatcher:
    """Runs until `stopping` is set. `due` names the batches with queued jobs, `admit` admits and sends."""

    def __init__(
        self,
        due: Callable[[], Sequence[str]],
        admit: Callable[[str, int], Admission],
        slots: Slots,
        stopping: threading.Event,
    ) -> None:
        self._due = due
        self._admit = admit
        self._slots = slots
        self._stopping = stopping
        self._woken = threading.Event()
        self._turn = 0
        self._listed: list[str] = []
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
        batches = self._due_batches()
        if not batches:
            return POLL_S
        free = self._slots.take(POLL_S)
        if not free or self._stopping.is_set():
            self._slots.give(free)
            return 0
        waits: list[Wait] = []
        try:
            for left, batch_id in zip(range(len(batches), 0, -1), batches, strict=True):
                share = -(-free // left)
                asks = share and not self._stopping.is_set()
                admission = self._admit(batch_id, share) if asks else Admission([], None)
                free -= len(admission.admitted)
                if admission.wait:
                    waits.append(admission.wait)
        finally:
            self._slots.give(free)
        return self._pause_s(waits) if len(waits) == len(batches) else _BREATH_S

    def _due_batches(self) -> list[str]:
        """The batches with queued jobs, each round starting with the next one."""
        if time.monotonic() - self._listed_at_s > _LIST_EVERY_S:
            self._listed = self._list()
            self._listed_at_s = time.monotonic()
        if not self._listed:
            return []
        self._turn = (self._turn + 1) % len(self._listed)
        return self._listed[self._turn :] + self._listed[: self._turn]

    def _list(self) -> list[str]:
        try:
            return list(self._due())
        except LedgerError as error:
            tell("admission_failed", batch=None, error=type(error).__name__)
            return []

    @staticmethod
    def _pause_s(waits: Sequence[Wait]) -> float:
        """Every batch waits for something: until the first of these is over."""
        timed = [wait.for_ms / 1000 for wait in waits if wait.for_ms is not None]
        return max(_BREATH_S, min([*timed, POLL_S]))
