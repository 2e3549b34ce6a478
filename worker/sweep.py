"""The timers of a worker process: its heartbeat, and beside it the sweep and the replay of dead processes' spools.

Two threads, so that a long replay never delays a beat. Every step may fail when the ledger is away; the next
period tries again.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from jobs.errors import LedgerError
from jobs.events import tell
from jobs.ledger import recovery
from worker import metrics
from worker.executor import Executor
from worker.replay import replay_abandoned

BEAT_EVERY_S = 10.0
LOOK_EVERY_S = 5.0
"""For a sweep to win, and for spools of processes that died on this machine."""


class Timer:
    """Beats and sweeps for one executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._stop = threading.Event()
        self._threads = (
            self._thread("imagemill-heartbeat", BEAT_EVERY_S, self._beat, "heartbeat_failed"),
            self._thread("imagemill-sweep", LOOK_EVERY_S, self._look, "sweep_failed"),
        )

    def start(self) -> None:
        """Replay what is there already, the heart beating meanwhile, then look for more."""
        heartbeat, sweep = self._threads
        heartbeat.start()
        replay_abandoned(self._executor)
        sweep.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        with suppress(OSError):  # the disk may be why this process ends
            self._executor.witness.write()

    def _thread(self, name: str, every_s: float, step: Callable[[], None], failed: str) -> threading.Thread:
        return threading.Thread(target=self._run, args=(every_s, step, failed), name=name, daemon=True)

    def _run(self, every_s: float, step: Callable[[], None], failed: str) -> None:
        while not self._stop.wait(every_s):
            try:
                step()
            except (LedgerError, OSError) as error:
                tell(failed, worker=self._executor.worker_id, error=type(error).__name__)
            except Exception as error:  # whatever it is, a worker without its timers would be taken for dead
                tell(failed, worker=self._executor.worker_id, error=repr(error)[:500])

    def _beat(self) -> None:
        """Whatever keeps the lease from being renewed, new tables among them, the look at the ledger follows."""
        try:
            self._renew_lease()
        finally:
            if not self._executor.failure:
                self._executor.look_at_ledger()
        self._executor.witness.write()

    def _renew_lease(self) -> None:
        executor = self._executor
        worker_id, held = executor.worker_id, executor.held_attempts
        if not executor.ledger.write(recovery.beat, worker_id, in_flight=executor.slots.in_use):
            executor.register_anew(worker_id)
        elif freed := executor.ledger.write(recovery.release_unsent, worker_id, held, executor.booking.retry):
            metrics.count_booked(freed)
            tell("attempts_never_sent", worker=worker_id, attempts=len(freed))

    def _look(self) -> None:
        replay_abandoned(self._executor)
        if self._executor.ledger.write(recovery.win_sweep, self._executor.worker_id, recovery.SWEEP_EVERY_MS):
            self._sweep()

    def _sweep(self) -> None:
        """A portion at a time, until nothing is found: settlements get their turn between."""
        executor = self._executor
        while not self._stop.is_set():
            swept = executor.ledger.write(recovery.sweep, executor.worker_id, executor.booking.retry)
            if not (swept.workers or swept.attempts):
                return
            metrics.LEASE_EXPIRED.inc(len(swept.workers))
            metrics.count_booked(swept.booked)
            tell("sweep_closed", workers=list(swept.workers), attempts=swept.attempts)
