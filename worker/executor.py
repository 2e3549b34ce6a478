"""The executor: admits due jobs, hands them to the network, keeps track of what is open. No Celery here.

One per process. `imagemill run` drives it in-process for one batch; the Celery app starts the same object for all
batches, and tickets only wake it.

    dispatcher  ->  admission (ledger)  ->  network  ->  settler (spool, store, ledger)
         ^                                     |
         +--------- a slot per ended call -----+
"""

import math
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from jobs.catalogue.prices import PriceBook
from jobs.errors import DiskError, ImagemillError, LedgerError, LedgerRestored, SchemaMismatch
from jobs.events import tell
from jobs.ids import new_worker_id
from jobs.ledger import control, recovery
from jobs.ledger.acts import Act, recorded
from jobs.ledger.admission import Admission, Admitted, Claimer, Wait, WorkerFenced, admit
from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import require_newest
from jobs.ledger.recovery import DueBatch
from jobs.pacing import Caps
from jobs.settings import Settings
from jobs.states import Outcome
from jobs.storage import open_store
from worker.booking import Booking
from worker.calls import Answer, Call
from worker.dispatcher import Dispatcher
from worker.endpoint import Endpoint
from worker.memory import collect_less_often, share_one_arena
from worker.metrics import AdmissionWaits, count_booked
from worker.network import Network
from worker.room import Room
from worker.settler import Settler
from worker.slots import Slots
from worker.spool import Spool
from worker.wire import boot_clock_s
from worker.witness import Witness

_DISK_THREADS = 4
_LEDGER_PATIENCE_S = 60.0
_CANCEL_PATIENCE_S = 10.0
_DOWNLOAD_S = 120.0
"""Beside the call itself, for answers that come as URLs."""
_BUDGET_ASK_AGAIN_MS = 100
_TROUBLE_ASK_AGAIN_MS = 20
_LEDGER_ASK_AGAIN_MS = 1_000
_ROOM_ASK_AGAIN_MS = 1_000


class Executor:
    """Calls one endpoint for the batches of one ledger, or for `only_batch`. Thread-safe after `start`. Where a
    further call would be wrong it breaks off: `failure` says why, and `on_failure` is called to end the process."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        book: PriceBook,
        *,
        only_batch: str | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.ledger = ledger
        self.settings = settings
        self.worker_id = new_worker_id()
        self.slots = Slots(settings.in_flight)
        self.stopping = threading.Event()
        self.failure: ImagemillError | None = None
        self._unsure = False  # that the ledger is still the same one
        self._on_failure = on_failure
        self.witness = Witness(settings.data_dir.absolute())
        self._hurried = threading.Event()
        self._disk = ThreadPoolExecutor(_DISK_THREADS, "imagemill-disk")
        self.spool = Spool(settings.spool_dir, self.worker_id, self._disk)
        store = open_store(settings.images_url)
        self.booking = Booking(ledger, store, book, settings.endpoint_url, self.worker_id)
        self._room = Room([settings.spool_dir, store.root, *filter(None, [ledger.folder])])
        self._only_batch = only_batch
        self._waits = AdmissionWaits()
        self._open: dict[str, Admitted] = {}
        self._troubled: set[str] = set()
        self._tracking = threading.Lock()  # of `_open` and `_troubled`; never held through a transaction
        self._signing = threading.Lock()  # of `worker_id` and `_signed_off`
        self._signed_off = False
        self._settler = Settler(self.spool, self.booking, self._open, self._on_booked, self._disk_failed)
        self._network = Network(self._open_endpoint, self._on_answer, settings.in_flight, self.spool.sent.note)
        self._dispatcher = Dispatcher(self._due_batches, self._in_flight, self._admit, self.slots, self.stopping)

    def start(self) -> None:
        """Register with the ledger and start the threads. Raises UsageError or LedgerRestored: see the messages."""
        collect_less_often()
        share_one_arena()
        try:
            self.witness.require_known(self.ledger)
            self._network.start()
        except ImagemillError:
            self.spool.close()
            raise
        self._register()
        self._settler.start()
        self._dispatcher.start()
        tell("worker_started", worker=self.worker_id, in_flight=self.settings.in_flight)

    def register_anew(self, fenced: str) -> None:
        """After `fenced` was swept: its attempts are others' business now, their late answers still count. Once,
        however many threads find it out. A lease that only ran out, unswept, is renewed instead."""
        with self._signing:
            if self._signed_off or self.worker_id != fenced:
                return
            if self.ledger.write(recovery.beat, fenced, in_flight=self.slots.in_use):
                return
            tell("worker_fenced", worker=fenced)
            self.worker_id = new_worker_id()
            self._register()

    def wake(self) -> None:
        """There may be due work: look at once. Thread-safe."""
        self._dispatcher.wake()

    def stop_admitting(self) -> None:
        """From now on nothing is admitted; calls in flight go on. Safe to call from a signal handler."""
        self.stopping.set()
        self._dispatcher.wake()

    def close(self, grace_s: float | None = None) -> bool:
        """Finish and settle the calls in flight, then end all threads. Returns whether nothing was left open.

        After `grace_s` the calls still in flight are given up and end as unknown.
        """
        self.stop_admitting()
        self.slots.close()
        self._dispatcher.join()
        self._network.drop_waiting()
        self._wait_for_calls(grace_s)
        self._network.close()
        clean = self._settler.close(_LEDGER_PATIENCE_S) and not self._open
        self._disk.shutdown()
        signed_off = self._sign_off()
        # What is open still, or what the ledger could not be told, a replay finds out from the folder.
        self.spool.close(keep=bool(self._open) or not signed_off)
        tell("worker_stopped", worker=self.worker_id, open_attempts=len(self._open))
        return clean

    def hurry(self) -> None:
        """Do not wait any longer for the calls in flight. Safe to call from a signal handler."""
        self._hurried.set()

    def held_attempts(self) -> tuple[str, ...]:
        """Attempts this process has in flight or has still to book."""
        with self._tracking:
            return tuple(self._open)

    def _register(self) -> None:
        spool = self.spool.folder.name
        self.ledger.write(recovery.register_worker, self.worker_id, socket.gethostname(), os.getpid(), spool)

    def _wait_for_calls(self, grace_s: float | None) -> None:
        ends_s = math.inf if grace_s is None else time.monotonic() + grace_s
        while not self.slots.wait_all_free(0.2):
            if self._hurried.is_set() or time.monotonic() > ends_s:
                self._network.cancel_all()
                self.slots.wait_all_free(_CANCEL_PATIENCE_S)
                return

    def _due_batches(self) -> list[DueBatch]:
        if self._only_batch:
            return [DueBatch(self._only_batch)]
        with self.ledger.read() as tx:
            return recovery.due_batches(tx)

    def _in_flight(self) -> Counter[str]:
        """Open attempts of each batch."""
        with self._tracking:
            return Counter(one.batch_id for one in self._open.values())

    def _admit(self, batch_id: str, most: int) -> Admission:
        """Admit, and send what was admitted. Trouble with the ledger or the lease counts as a short wait."""
        try:
            try:
                return self._admit_and_send(batch_id, most)
            except WorkerFenced as error:
                self._unsure = True  # a backup's row of this worker is old, or not there
                self.register_anew(error.worker_id)
                return Admission([], Wait("fenced", "this worker registered anew", 0))
        except LedgerError as error:
            self._unsure = True
            tell("admission_failed", batch=batch_id, error=type(error).__name__)
            return Admission([], Wait("ledger", "the ledger does not answer", _LEDGER_ASK_AGAIN_MS))

    def look_at_ledger(self) -> None:
        """Break off, and raise, if a newer program has taken the ledger over, or an older backup its place."""
        try:
            require_newest(self.ledger)
            with self._tracking:
                held = list(self._open.values())
            self.witness.require_known(self.ledger, held)
        except (SchemaMismatch, LedgerRestored) as error:
            self.break_off(error)
            raise
        self._unsure = False

    def _admit_and_send(self, batch_id: str, most: int) -> Admission:
        if self._unsure:
            self.look_at_ledger()
        if self._troubled:
            return Admission([], Wait("endpoint_paused", "account trouble is being booked", _TROUBLE_ASK_AGAIN_MS))
        with self._tracking:
            in_flight = list(self._open.values())
        most = min(most, self._room.calls(in_flight))
        if not most:
            return Admission([], Wait("disk_full", "there is no room for more answers", _ROOM_ASK_AGAIN_MS))
        asked_at_s = boot_clock_s()
        admission = self.ledger.write(admit, self._claimer(), batch_id, most)
        self._waits.asked(batch_id, admission)
        if admission.admitted:
            with self._tracking:
                self._open.update((one.attempt_id, one) for one in admission.admitted)
            self._network.send([Call.of(one) for one in admission.admitted], asked_at_s)
            self.witness.saw(admission.admitted)
        if admission.wait and admission.wait.reason == "budget":
            return self._at_budget(batch_id, admission, admission.wait)
        return admission

    def _at_budget(self, batch_id: str, admission: Admission, wait: Wait) -> Admission:
        """While calls in flight may still free some of the budget, ask again; then the batch is paused."""
        act = Act(self.worker_id, "pause", batch_id, {"reason": "budget"})
        if not admission.admitted and self.ledger.write(recorded, act, control.stop_at_budget, batch_id):
            tell("batch_paused", batch=batch_id, reason="budget")
        return Admission(admission.admitted, replace(wait, for_ms=_BUDGET_ASK_AGAIN_MS))

    def _claimer(self) -> Claimer:
        chosen = self.settings
        caps = Caps(chosen.requests_per_minute, chosen.images_per_minute, chosen.tokens_per_minute)
        return Claimer(self.worker_id, chosen.endpoint_url, caps, round((chosen.deadline_s + _DOWNLOAD_S) * 1000))

    def _open_endpoint(self) -> Endpoint:
        chosen = self.settings
        return Endpoint(
            chosen.endpoint_url,
            chosen.api_key.get_secret_value() if chosen.api_key else "",
            read_timeout_s=chosen.read_timeout_s,
            deadline_s=chosen.deadline_s,
            download_s=_DOWNLOAD_S,
            allow_private_hosts=chosen.allow_private_hosts,
            may_bill=chosen.billed_statuses,
            spool=self.spool,
            disk=self._disk,
        )

    def _on_answer(self, answer: Answer) -> None:
        """On the network thread: the call has ended, its slot is free, the answer is the settler's. One that stops
        the endpoint stops this process at once; the others follow with its booking."""
        if answer.pause:
            with self._tracking:
                self._troubled.add(answer.attempt_id)
        if answer.error_kind == "disk_failed":
            self._disk_failed(answer.error_message or "")
        self._room.learn(answer)
        self._settler.put(answer)
        self.slots.end()

    def _on_booked(self, answers: Sequence[Answer], queued_again: bool) -> None:
        # A doubt stays noted as sent: if the sweep had doubted it before, nothing else tells that it was.
        self.spool.sent.forget(one.attempt_id for one in answers if one.outcome is not Outcome.UNKNOWN)
        with self._tracking:
            for answer in answers:
                del self._open[answer.attempt_id]
                self._troubled.discard(answer.attempt_id)
        if queued_again:
            self._dispatcher.wake()

    def break_off(self, failure: ImagemillError) -> None:
        """Admit nothing more; calls in flight go on. Once, on whatever thread found the reason."""
        with self._tracking:
            if self.failure:
                return
            self.failure = failure
        self.stop_admitting()
        tell("worker_broke_off", worker=self.worker_id, error=str(failure))
        self._on_failure()

    def _disk_failed(self, said: str) -> None:
        """What is called from now on might be paid for and lost."""
        tell("disk_failed", worker=self.worker_id, error=said)
        self.break_off(DiskError(said))

    def _sign_off(self) -> bool:
        """Whether the ledger knows that this worker has ended, and with it whatever it never sent. The timer still
        beats; from here on a beat that finds this row ended is no reason to register anew."""
        with self._signing:
            self._signed_off = True
        held, retry = self.held_attempts, self.booking.retry
        try:
            self.ledger.write(recovery.sign_off, self.worker_id)
            freed = self.ledger.write(recovery.release_unsent, self.worker_id, held, retry, signed_off=True)
        except LedgerError as error:
            tell("heartbeat_failed", worker=self.worker_id, error=type(error).__name__)
            return False
        count_booked(freed)
        return True
