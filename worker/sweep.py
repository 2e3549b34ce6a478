"""The timer of a worker process: heartbeat, sweep, and replay of dead processes' spools.

One thread. Every step may fail when the ledger is away; the next period tries again.
"""

import threading
from collections.abc import Callable

from jobs.errors import LedgerError
from jobs.events import tell
from jobs.ledger import recovery
from worker.executor import Executor
from worker.replay import replay_abandoned

BEAT_EVERY_S = 10.0
_STEP_S = 5.0


class Timer:
    """Beats and sweeps for one executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imagemill-timer", daemon=True)

    def start(self) -> None:
        replay_abandoned(self._executor)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        steps = 0
        while not self._stop.wait(_STEP_S if steps else 0.5):
            if steps * _STEP_S % BEAT_EVERY_S == 0:
                self._try("heartbeat_failed", self._beat)
            self._try("sweep_failed", self._sweep)
            steps += 1

    def _try(self, event: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (LedgerError, OSError) as error:
            tell(event, worker=self._executor.worker_id, error=type(error).__name__)

    def _beat(self) -> None:
        executor = self._executor
        held = executor.held_attempts()
        alive = executor.ledger.write(recovery.beat, executor.worker_id, in_flight=executor.slots.in_use)
        if not alive:
            executor.register_anew()
        elif freed := executor.ledger.write(
            recovery.release_unsent, executor.worker_id, held, executor.booking.retry
        ):
            tell("attempts_never_sent", worker=executor.worker_id, attempts=freed)

    def _sweep(self) -> None:
        executor = self._executor
        if not executor.ledger.write(recovery.win_sweep):
            return
        swept = executor.ledger.write(recovery.sweep, executor.worker_id, executor.booking.retry)
        if swept.workers or swept.attempts:
            tell("sweep_closed", workers=list(swept.workers), attempts=swept.attempts)
        replay_abandoned(executor)
