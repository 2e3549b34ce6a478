"""A ledger behind a bad link: given up in seconds, whole again by itself; nobody waits for a lock of the dead."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, make_url, text

from jobs.errors import LedgerAway
from jobs.ledger import engine, schema
from jobs.ledger.engine import Ledger
from tests.faults.proxy import Proxy
from tests.integration.ledgers import change, open_batch, states
from tests.integration.mills import until

PATIENCE_S = 60.0


@pytest.fixture
def link(postgres_ledger_url: str) -> Iterator[Proxy]:
    port = make_url(postgres_ledger_url).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


def opened(monkeypatch: pytest.MonkeyPatch, url: str) -> Ledger:
    """A ledger with the real limits, in seconds that a test can wait for."""
    monkeypatch.setattr(engine, "_LINK_LOST_AFTER_S", 1)
    monkeypatch.setattr(engine, "_IDLE_IN_TRANSACTION_S", 1)
    return Ledger(url)


def test_a_link_that_was_cut_without_a_word_is_given_up_and_found_again(
    monkeypatch: pytest.MonkeyPatch, postgres_ledger_url: str, link: Proxy
) -> None:
    """The system's own limit for a connection that acknowledges nothing is 15 minutes."""
    ledger = opened(monkeypatch, link.through(postgres_ledger_url))
    batch = open_batch(ledger)
    link.change(drop=True)
    with ThreadPoolExecutor(1) as pool, pytest.raises(LedgerAway):
        pool.submit(states, ledger, batch).result(PATIENCE_S)
    link.heal()
    assert states(ledger, batch) == {"queued": 1}
    ledger.close()


def test_a_writer_that_stands_still_is_ended_so_that_others_get_its_locks(
    monkeypatch: pytest.MonkeyPatch, postgres_ledger_url: str
) -> None:
    """A stopped process or a cut link in the middle of a transaction would hold them for as long as it lasts."""
    ledger, stopped = Ledger(postgres_ledger_url), opened(monkeypatch, postgres_ledger_url)
    batch = open_batch(ledger)
    table, turns, go_on = schema.batches, [], threading.Event()

    def stand_still(tx: Connection) -> None:
        tx.execute(table.update().values(name=f"turn {len(turns)}"))
        turns.append(1)
        assert go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(stopped.write, stand_still)
        until(lambda: bool(turns))
        change(ledger, table, table.c.id == batch, pause_reason="not to be waited for")
        go_on.set()
        written.result(PATIENCE_S)  # rolled back, and therefore run again
    assert len(turns) == 2
    stopped.close()
    ledger.close()


def test_a_reader_may_take_its_time(monkeypatch: pytest.MonkeyPatch, postgres_ledger_url: str) -> None:
    """Rows that are streamed to a pager hold no lock."""
    ledger = opened(monkeypatch, postgres_ledger_url)
    with ledger.read() as tx:
        limit = tx.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    with ledger.engine.connect() as other:
        assert other.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "1s"
    assert limit == "0"
    ledger.close()
