"""The ledger changes under a worker: other tables, or an older backup in its place. Nothing more is sent."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config

import migrations
from jobs.ledger.engine import Ledger
from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until
from tests.faults.launch import tenfold_clock

IN_FLIGHT = 4
JOBS = 20
QUICK = {"constants": tenfold_clock()}
"""Beats every second."""


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)


def set_version(mill: Mill, version: str) -> None:
    """Say that the tables are another version's."""
    with psycopg.connect(mill.books.url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [version])


def version(mill: Mill) -> str:
    (row,) = mill.books.ask("SELECT version_num FROM alembic_version")
    return str(row["version_num"])


def downgrade(url: str, to: str) -> None:
    """Take the tables back to what an older program made."""
    ledger = Ledger(url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))
    with ledger.engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.downgrade(config, to)
    ledger.close()


def test_s30_a_worker_under_which_the_tables_change_ends_its_calls_and_refuses_to_admit(mill: Mill) -> None:
    worker = mill.start_worker(faults=QUICK)
    mill.submit(plain_rows(JOBS, "delay 2"))
    wait_until(lambda: mill.calls_in_flight() == IN_FLIGHT, 60, worker.tail)
    known = version(mill)
    set_version(mill, "9999")
    wait_until(lambda: "worker_broke_off" in worker.said(), 60, worker.tail)
    assert worker.wait(30) == 1
    admitted = mill.books.number("SELECT count(*) FROM attempts")
    assert admitted < JOBS
    assert f"version 9999, newer than this program ({known}): install a newer imagemill" in worker.said()
    assert len(mill.simulator.calls()) == admitted
    assert mill.outcomes() == {"succeeded": admitted}
    assert mill.states() == {"succeeded": admitted, "queued": JOBS - admitted}
    refused = mill.start("work")
    assert refused.wait(30) == 1
    assert "install a newer imagemill" in refused.said()
    set_version(mill, known)
    goes_on = mill.start_worker(in_flight=JOBS)
    mill.wait_done(JOBS, 60)
    assert goes_on.stop() == 0
    assert mill.outcomes() == {"succeeded": JOBS}
    mill.check()


def test_s30_an_upgrade_with_work_in_flight_loses_nothing(mill: Mill) -> None:
    """From the first version's tables, as a killed worker of that version left them."""
    killed = mill.start_worker()
    answered = plain_rows(2 * IN_FLIGHT)[IN_FLIGHT:]
    mill.submit([*answered, *plain_rows(IN_FLIGHT, "timeout")])
    wait_until(lambda: mill.states().get("succeeded") == IN_FLIGHT == mill.calls_in_flight(), 60, killed.tail)
    killed.crash()
    mill.submit(plain_rows(2), name="more.jsonl")
    newest = version(mill)
    downgrade(mill.books.url, "0001")
    refused = mill.start("work")
    assert refused.wait(30) == 1
    assert (
        f"the database is at version 0001, this program at {newest}: run `imagemill db upgrade`" in refused.said()
    )
    assert f"upgraded from 0001 to {newest}" in mill.run("db", "upgrade").out
    worker = mill.start_worker()
    mill.wait_done(2 * IN_FLIGHT + 2, 60)
    assert worker.stop() == 0
    assert mill.states() == {"succeeded": IN_FLIGHT + 2, "held": IN_FLIGHT}
    mill.check()


def test_s31_after_a_backup_is_restored_nothing_runs_again_before_a_person_has_held_it(
    new_mill: Callable[..., Mill], tmp_path: Path
) -> None:
    """Spool and images are kept, the SQLite file is the one of before the run."""
    mill = new_mill(in_flight=IN_FLIGHT)
    mill.submit(plain_rows(8))
    ledger = mill.data / "ledger.db"
    shutil.copyfile(ledger, tmp_path / "backup.db")
    mill.run("run", "last", "--progress", "none")
    assert len(mill.simulator.calls()) == 8
    shutil.copyfile(tmp_path / "backup.db", ledger)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (mill.data / name).unlink(missing_ok=True)
    assert mill.states() == {"queued": 8}
    assert "imagemill db restored" in mill.run("run", "last", "--progress", "none", expect=1).err
    assert mill.run("db", "restored", "--json").json()["held"] == 8
    mill.submit(plain_rows(2), name="more.jsonl")
    mill.run("run", "last", "--progress", "none")
    assert mill.states() == {"held": 8, "succeeded": 2}
    assert len(mill.simulator.calls()) == 10, "a call was sent again by itself"
    mill.run("db", "check")


def test_s31_a_worker_notices_that_its_database_lost_the_calls_it_has_in_flight(mill: Mill) -> None:
    """As after a failover to a standby that lagged: the latest commits are gone."""
    worker = mill.start_worker(faults=QUICK)
    mill.submit(plain_rows(JOBS, "delay 2"))
    wait_until(lambda: mill.calls_in_flight() == IN_FLIGHT, 60, worker.tail)
    with psycopg.connect(mill.books.url) as connection:
        connection.execute("DELETE FROM attempts WHERE outcome IS NULL")
    wait_until(lambda: "worker_broke_off" in worker.said(), 60, worker.tail)
    assert worker.wait(60) == 1
    assert "imagemill db restored" in worker.said()
    assert [name for name in mill.spooled() if name.endswith(".json")], "an answer that was paid for was dropped"
    calls = len(mill.simulator.calls())
    assert mill.start("work").wait(30) == 1
    assert len(mill.simulator.calls()) == calls
