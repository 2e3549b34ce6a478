"""Ledgers for the integration tests: migrated once per run, empty for each test, recounted when it ends."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from jobs.ledger import migrate
from jobs.ledger.engine import Ledger
from jobs.ledger.schema import metadata
from tests.integration.ledgers import assert_totals_agree
from tests.services import PostgresServer

TEMPLATE = "ledger_template"


def _migrated(url: str) -> None:
    ledger = Ledger(url)
    migrate.upgrade(ledger)
    ledger.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    postgres_server.start()
    postgres_server.make_template(TEMPLATE, _migrated)
    return TEMPLATE


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite file of the test's own."""
    copy = tmp_path / "ledger.db"
    shutil.copyfile(sqlite_template, copy)
    return f"sqlite:///{copy}"


@pytest.fixture
def postgres_ledger_url(postgres_template: str, postgres_database: Callable[..., str]) -> str:
    """A migrated PostgreSQL database of the test's own."""
    return postgres_database(postgres_template)


@pytest.fixture(scope="session")
def _postgres_ledger(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Ledger]:
    """One database for all tests that stay inside a ledger: emptying it is quicker than copying the template."""
    opened = Ledger(postgres_server.new_database(postgres_template), pool_size=32)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An empty ledger on each engine; whatever a test did, its kept totals equal a full count at the end."""
    if request.param == "sqlite":
        yield from _recounted(Ledger(request.getfixturevalue("sqlite_url"), pool_size=32))
        return
    request.getfixturevalue("postgres_server").start()
    shared: Ledger = request.getfixturevalue("_postgres_ledger")
    shared.write(_empty)
    yield from _recounted(shared)


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    """The embedded default, recounted at the end like `ledger`."""
    yield from _recounted(Ledger(sqlite_url))


def _recounted(opened: Ledger) -> Iterator[Ledger]:
    yield opened
    assert_totals_agree(opened)
    opened.close()


def _empty(tx: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        tx.execute(delete(table))
