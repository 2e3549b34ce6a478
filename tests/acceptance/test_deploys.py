"""Deploys: workers are told to stop, one after another, while work goes on; nobody's call ends in doubt."""

import signal
from collections.abc import Callable

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IN_FLIGHT = 8
GRACE_S = 60.0
"""Far above the length of these calls, also on a machine that is busy."""


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)


def rolling_restarts(mill: Mill, restarts: int) -> None:
    """Replace one of two workers so often, each with calls in flight, by SIGTERM; there is always more to do than
    they can, and what is left at the end is cancelled."""
    running = [mill.start_worker(), mill.start_worker()]
    mill.submit(plain_rows(400 * restarts, "delay 0.5"))
    for _ in range(restarts):
        wait_until(lambda: mill.calls_in_flight() > IN_FLIGHT, GRACE_S, mill.tails)
        leaving = running.pop(0)
        leaving.send(signal.SIGTERM)
        running.append(mill.start_worker())
        assert leaving.wait(GRACE_S) == 0
    mill.run("cancel", "last", "--yes")
    for worker in running:
        assert worker.stop(within_s=GRACE_S) == 0


def assert_each_was_called_once(mill: Mill) -> None:
    """What was admitted ahead of a free slot when the signal came was not sent, which costs nothing."""
    calls = len(mill.simulator.calls())
    assert mill.outcomes() | {"not_sent": 0} == {"succeeded": calls, "not_sent": 0}
    assert mill.states() == {"succeeded": calls, "cancelled": mill.settled_jobs() - calls}
    assert mill.spooled() == []
    mill.check()


def test_s22_rolling_restarts_under_load_leave_no_doubt_and_lose_nothing(mill: Mill) -> None:
    rolling_restarts(mill, 3)
    assert_each_was_called_once(mill)
