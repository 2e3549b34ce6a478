"""Where rivals meet: processes with threads in them, all let go by one barrier.

A rival is a module-level function (or a partial of one), for it travels to another process. Every process opens the
ledger for itself, as workers do; what a rival raises ends the race and is raised by `race`.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

from jobs.ledger.engine import Ledger

Rival = Callable[[Ledger, Callable[[], int]], Any]
"""`rival(ledger, meet)`: `meet()` waits until every rival has come to the same point."""
_START_WITHIN_S = 120.0
"""For the start of the processes, and between two meetings."""

_barrier: Any = None


def race(ledger: Ledger, processes: Sequence[Sequence[Rival]], within_s: float = 4 * 3600.0) -> list[Any]:
    """Let the rivals of each process go; all their results, process by process. Nobody may take `within_s`."""
    context = get_context("spawn")
    barrier = context.Barrier(sum(map(len, processes)), timeout=_START_WITHIN_S)
    url = ledger.engine.url.render_as_string(hide_password=False)
    with ProcessPoolExecutor(len(processes), context, _remember, (barrier,)) as pool:
        running = [pool.submit(_run, url, rivals) for rivals in processes]
        return [result for one in running for result in one.result(within_s)]


def _remember(barrier: Any) -> None:
    """A barrier reaches another process only while that process starts."""
    global _barrier  # noqa: PLW0603
    _barrier = barrier


def _run(url: str, rivals: Sequence[Rival]) -> list[Any]:
    ledger = Ledger(url, pool_size=len(rivals))
    try:
        with ThreadPoolExecutor(len(rivals)) as pool:
            return [done.result() for done in [pool.submit(_rival, rival, ledger) for rival in rivals]]
    finally:
        ledger.close()


def _rival(rival: Rival, ledger: Ledger) -> Any:
    _barrier.wait()
    try:
        return rival(ledger, _barrier.wait)
    except threading.BrokenBarrierError:
        return None  # another one failed, and tells why
    except BaseException:
        _barrier.abort()
        raise
