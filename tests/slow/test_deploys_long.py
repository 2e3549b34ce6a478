"""An hour of deploys, in the time that thirty of them take."""

import signal
from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.test_deploys import GRACE_S, IN_FLIGHT, assert_each_was_called_once, rolling_restarts
from tests.acceptance.waiting import wait_until


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)


def test_s22_thirty_restarts_under_load_leave_no_doubt(mill: Mill) -> None:
    rolling_restarts(mill, 30)
    assert_each_was_called_once(mill)


def test_s22_harder_signals_leave_at_most_the_calls_in_flight(mill: Mill) -> None:
    """SIGTERM and at once SIGQUIT, as an impatient supervisor does it."""
    jobs, rounds = 100 * IN_FLIGHT, 6
    mill.submit(plain_rows(jobs, "delay 4"))  # longer than a worker takes to notice
    for _ in range(rounds):
        worker = mill.start_worker()
        wait_until(lambda: mill.calls_in_flight() >= IN_FLIGHT, GRACE_S, mill.tails)
        worker.send(signal.SIGTERM)
        worker.stop(signal.SIGQUIT, within_s=GRACE_S)
    mill.run("cancel", "last", "--yes")
    last = mill.start_worker()
    mill.wait_done(jobs, 2 * GRACE_S)
    assert last.stop(within_s=GRACE_S) == 0
    doubts = mill.outcomes().get("unknown", 0)
    assert 0 < doubts <= rounds * IN_FLIGHT
    assert mill.states()["held"] == doubts
    assert max(Counter(line["idempotency_key"] for line in mill.simulator.calls()).values()) == 1, (
        "one was sent again"
    )
    mill.check()
