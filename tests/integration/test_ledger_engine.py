"""How the ledger is opened, read and written: consistent, durable, repeated when another one was in the way."""

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text, update

from jobs.errors import Conflict, LedgerAway, LedgerError, UsageError
from jobs.ledger import clock, durability, schema
from jobs.ledger.engine import Ledger, insert_missing
from jobs.ledger.sets import upsert_adding
from tests.integration.ledgers import all_at_once, job_row, open_batch, states

TALLY = {"batch_id": "b_1", "model": "m", "state": "queued"}


def jobs_of_tally(ledger: Ledger) -> int:
    with ledger.read() as tx:
        return tx.execute(select(schema.job_tallies.c.jobs)).scalar_one()


def empty_tallies(ledger: Ledger) -> None:
    ledger.write(lambda tx: tx.execute(schema.job_tallies.delete()))


def test_a_reading_sees_one_moment_however_long_it_takes(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    with ledger.read() as tx:
        before = tx.execute(select(schema.jobs.c.state)).scalars().all()
        ledger.write(lambda other: other.execute(update(schema.jobs).values(state="held")))
        assert tx.execute(select(schema.jobs.c.state)).scalars().all() == before
    assert states(ledger, batch) == {"held": 2}
    ledger.write(lambda other: other.execute(update(schema.jobs).values(state="queued")))


@pytest.mark.parametrize("ledger", ["postgresql"], indirect=True)
def test_a_reading_cannot_write_on_postgresql(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="read-only"), ledger.read() as tx:
        tx.execute(update(schema.jobs).values(state="held"))


def test_a_write_that_raises_leaves_nothing(ledger: Ledger) -> None:
    batch = open_batch(ledger)

    def act(tx: Connection) -> None:
        tx.execute(update(schema.jobs).values(state="held"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.write(act)
    assert job_row(ledger, batch).state == "queued"


def test_a_write_on_sqlite_is_alone_from_its_beginning(sqlite_ledger: Ledger) -> None:
    """A deferred transaction that reads, then writes after another's commit, fails at once."""
    rival = sqlite3.connect(str(sqlite_ledger.engine.url.database), timeout=0, isolation_level=None)

    def write_beside(_: Connection) -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("BEGIN IMMEDIATE")

    sqlite_ledger.write(write_beside)
    rival.execute("BEGIN IMMEDIATE")
    rival.close()


def test_writes_that_read_first_wait_for_each_other(ledger: Ledger) -> None:
    ledger.write(upsert_adding, schema.job_tallies, [TALLY | {"jobs": 0}])

    def read_then_write(tx: Connection) -> None:
        row = tx.execute(select(schema.job_tallies.c.jobs).with_for_update()).scalar_one()
        tx.execute(update(schema.job_tallies).values(jobs=row + 1))

    all_at_once([lambda: [ledger.write(read_then_write) for _ in range(10)] for _ in range(6)])
    assert jobs_of_tally(ledger) == 60
    empty_tallies(ledger)


def test_transactions_that_wait_for_each_other_in_a_circle_are_run_again(ledger: Ledger) -> None:
    two = [TALLY | {"model": model, "jobs": 0} for model in ("m", "n")]
    ledger.write(upsert_adding, schema.job_tallies, two)
    both_hold_one = threading.Barrier(2)

    def add_to_both(tx: Connection, order: str) -> None:
        table = schema.job_tallies
        for model in order:
            tx.execute(update(table).where(table.c.model == model).values(jobs=table.c.jobs + 1))
            with suppress(threading.BrokenBarrierError):  # SQLite lets nobody else in
                both_hold_one.wait(0.3)

    all_at_once([lambda order=order: ledger.write(add_to_both, order) for order in ("mn", "nm")])
    with ledger.read() as tx:
        assert tx.execute(select(schema.job_tallies.c.jobs)).scalars().all() == [2, 2]
    empty_tallies(ledger)


def test_tallies_add_up_whoever_adds_first(ledger: Ledger) -> None:
    rows = [TALLY | {"model": model, "jobs": 1} for model in "dbca"]
    all_at_once([lambda: ledger.write(upsert_adding, schema.job_tallies, rows) for _ in range(8)])
    with ledger.read() as tx:
        assert tx.execute(select(schema.job_tallies.c.jobs)).scalars().all() == [8, 8, 8, 8]
    empty_tallies(ledger)


def test_a_missing_row_is_inserted_once(ledger: Ledger) -> None:
    row = [{"name": "sweep", "done_at": 0}]
    all_at_once([lambda: ledger.write(insert_missing, schema.duties, row) for _ in range(6)])
    with ledger.read() as tx:
        assert tx.execute(select(schema.duties.c.done_at)).scalars().all() == [0]


def test_a_key_that_is_there_already_is_a_conflict(ledger: Ledger) -> None:
    ledger.write(insert_missing, schema.duties, [{"name": "sweep", "done_at": 0}])
    with pytest.raises(Conflict):
        ledger.write(lambda tx: tx.execute(schema.duties.insert().values(name="sweep", done_at=1)))


def test_a_state_that_does_not_exist_is_refused_by_the_schema(ledger: Ledger) -> None:
    open_batch(ledger)
    with pytest.raises(LedgerError):
        ledger.write(lambda tx: tx.execute(update(schema.jobs).values(state="lost")))


def test_wrong_sql_is_a_ledger_error_without_a_traceback_of_the_library(ledger: Ledger) -> None:
    with pytest.raises(LedgerError) as told, ledger.read() as tx:
        tx.execute(text("SELECT x FROM nowhere"))
    assert "nowhere" in str(told.value)
    assert not isinstance(told.value, LedgerAway)  # waiting would not help
    assert len(str(told.value).splitlines()) == 1


def test_a_server_that_is_not_there_is_a_ledger_that_is_away() -> None:
    ledger = Ledger("postgresql://nobody:canary-4711@127.0.0.1:9/nothing")
    with pytest.raises(LedgerAway) as told, ledger.read():
        pass
    assert "canary-4711" not in str(told.value)
    ledger.close()


@pytest.mark.parametrize("ledger", ["postgresql"], indirect=True)
def test_connections_that_the_server_dropped_are_replaced(ledger: Ledger) -> None:
    end_others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    with ledger.engine.connect() as kept, ledger.engine.connect() as other:
        other.execute(text("SELECT 1"))
        other.rollback()
        kept.execute(end_others)
    batch = open_batch(ledger)
    assert states(ledger, batch) == {"queued": 1}


def test_money_beyond_32_bits_and_beyond_doubles_is_kept_exactly(ledger: Ledger) -> None:
    huge = 9_007_199_254_740_993 * 100  # no double holds it
    row = {"scope": "batch", "key": "b_1", "cap_nano": huge + 1}
    ledger.write(lambda tx: tx.execute(schema.budgets.insert().values(**row)))
    with ledger.read() as tx:
        assert tx.execute(select(schema.budgets.c.cap_nano)).scalar_one() == huge + 1


def test_the_clock_is_the_databases_and_moves_within_a_transaction(ledger: Ledger) -> None:
    with ledger.read() as tx:
        first = clock.now(tx)
        while clock.now(tx) == first:
            pass
        assert 0 < clock.now(tx) - first < 60_000


def test_both_engines_keep_what_they_confirmed(ledger: Ledger) -> None:
    assert durability.weaknesses(ledger) == []
    durability.require_durable(ledger)


def test_a_sqlite_file_is_opened_durably_and_with_foreign_keys(sqlite_ledger: Ledger) -> None:
    with sqlite_ledger.read() as tx:
        found = {
            name: tx.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_weak_database_is_named_with_what_to_do(sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite_ledger.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
    assert durability.weaknesses(sqlite_ledger) == ["SQLite runs with synchronous below FULL"]
    with pytest.raises(LedgerError, match="synchronous"):
        durability.require_durable(sqlite_ledger)


def test_a_folder_that_is_missing_is_made_for_a_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.write(lambda tx: tx.execute(text("CREATE TABLE x (y INTEGER)")))
    ledger.close()
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT count(*) FROM x").fetchone() == (0,)
    plain.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "must survive the process"),
        ("sqlite:///:memory:", "must survive the process"),
        ("mysql://127.0.0.1/x", "runs on sqlite and postgresql, not on mysql"),
        ("not a url", "is not a database URL; examples: sqlite:///"),
    ],
)
def test_a_database_that_cannot_be_the_ledger_is_refused_with_an_example(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Ledger(url)
