"""Whose clock counts: the database's, for leases and due times alike."""

import time

import pytest

from jobs.ledger import clock, recovery
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import ask, live_worker, open_batch

HOUR_S = 3_600.0


@pytest.mark.parametrize("wrong_by_s", [-HOUR_S, HOUR_S, 48 * HOUR_S])
def test_s17_a_worker_whose_own_clock_is_wrong_keeps_its_lease_and_kills_nobody(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, wrong_by_s: float
) -> None:
    worker, batch = live_worker(ledger), open_batch(ledger, 2)
    with ledger.read() as tx:
        before_ms = clock.now(tx)
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + wrong_by_s)
    with ledger.read() as tx:
        assert abs(clock.now(tx) - before_ms) < 60_000
    assert len(ask(ledger, batch, 1, worker).admitted) == 1
    assert ledger.write(recovery.beat, worker, in_flight=1)
