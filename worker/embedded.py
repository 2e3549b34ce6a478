"""The embedded worker: the same executor, in this process, for one batch, without a broker. For `imagemill run`."""

import threading
import time
from collections.abc import Callable

from jobs.catalogue.prices import PriceBook
from jobs.ledger import figures
from jobs.ledger.engine import Ledger
from jobs.ledger.figures import Standing
from jobs.ledger.waiting import stopped_by_budget, stopped_by_endpoint
from jobs.settings import Settings
from jobs.states import BatchState
from worker.executor import Executor
from worker.sweep import Timer

_TICK_S = 0.2
_LOOK_EVERY_S = 0.6
"""At the ledger, while calls are in flight; with none it may be over, and every tick looks."""
_ENDED = (BatchState.DONE, BatchState.CANCELLED, BatchState.PAUSED)


def run_batch(
    ledger: Ledger,
    settings: Settings,
    book: PriceBook,
    batch_id: str,
    *,
    on_standing: Callable[[Standing], None],
    stop: threading.Event,
) -> Standing:
    """Work on the batch until it has ended, waits for a person, or `stop` is set; returns how it then stands.

    Whatever ends it, calls in flight are finished and settled first. `on_standing` is called about twice a second.
    Raises what broke it off: DiskError, SchemaMismatch, LedgerRestored.
    """
    executor = Executor(ledger, settings, book, only_batch=batch_id)
    timer = Timer(executor)
    executor.start()
    try:
        timer.start()
        look_at_s = 0.0
        while not stop.is_set():
            # Not stop.wait(): a signal handler that sets it must not find its lock held by this very thread.
            time.sleep(_TICK_S)
            if executor.slots.in_use and not executor.failure and time.monotonic() < look_at_s:
                continue
            look_at_s = time.monotonic() + _LOOK_EVERY_S
            now = _standing(ledger, batch_id, settings)
            on_standing(now)
            if executor.failure or _nothing_left_to_do(ledger, now, settings):
                break
        executor.stop_admitting()
        while not executor.slots.wait_all_free(_LOOK_EVERY_S):
            on_standing(_standing(ledger, batch_id, settings))
    finally:
        executor.close()
        timer.close()
    if executor.failure:
        raise executor.failure
    last = _standing(ledger, batch_id, settings)
    on_standing(last)
    return last


def _standing(ledger: Ledger, batch_id: str, settings: Settings) -> Standing:
    with ledger.read() as tx:
        return figures.standing(tx, batch_id, settings.endpoint_url)


def _nothing_left_to_do(ledger: Ledger, now: Standing, settings: Settings) -> bool:
    if now.jobs["running"]:
        return False
    if now.state in _ENDED:
        return True
    with ledger.read() as tx:
        batch_id = now.batch or ""
        stopped = stopped_by_endpoint(tx, batch_id, settings.endpoint_url) or stopped_by_budget(tx, batch_id)
        return stopped is not None
