"""A storm of 429s, and a limit that nobody named: nothing is paid, no job fails, and afterwards all goes on."""

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.figures import Standing
from tests.integration.ledgers import states
from tests.integration.mills import QUICK, Mill, billed, until
from worker.simulator import start_in_thread

JOBS = 16
STORM = 6
"""429s that every storm lasts for at least."""


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


@pytest.mark.parametrize("answer", ["429 0.3", "slow-down", "503 0.3"], ids=["advised", "unadvised", "overload"])
def test_s14_a_storm_of_rate_limit_answers_costs_nothing_and_fails_no_job(mill: Mill, answer: str) -> None:
    mill.simulator.configure(fault_rates={answer: 1.0})
    batch = mill.submit(*[f"fox {number}" for number in range(JOBS)])
    ended: list[Standing] = []
    runner = threading.Thread(target=lambda: ended.append(mill.run(batch)))
    runner.start()
    until(lambda: len(mill.simulator.calls()) >= STORM)
    assert states(mill.ledger, batch).keys() <= {"queued", "running"}
    mill.simulator.configure(fault_rates={})
    runner.join(60)
    (stands,) = ended
    assert (stands.state, stands.jobs["succeeded"]) == ("done", JOBS)
    assert stands.attempts.keys() == {"throttled", "succeeded"}
    assert stands.confirmed_nano == billed(mill.simulator.calls()) == billed(mill.simulator.calls()[-JOBS:])


def test_s14_no_more_is_asked_than_a_named_limit_allows(mill: Mill) -> None:
    """The first seconds are left out: the limit is learned from the first answers."""
    per_minute = 600
    mill.simulator.configure(requests_per_minute=per_minute, burst=False)
    stands = mill.run(mill.submit(*[f"fox {number}" for number in range(90)]), in_flight=16)
    assert stands.jobs["succeeded"] == 90
    arrived = [datetime.fromisoformat(call["arrived_at"]).timestamp() for call in mill.simulator.calls()]
    settled = [moment for moment in arrived if moment > arrived[0] + 2]
    assert len(settled) > 30
    allowed = (settled[-1] - settled[0]) * per_minute / 60
    assert len(settled) <= 1.2 * allowed + 2
