"""Ledgers for the integration tests: migrated once per run, copied for each test, recounted when it ends."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.ledger import migrate
from jobs.ledger.engine import Ledger
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


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger on each engine; whatever the test did to it, its kept totals must equal a full count at the end."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_ledger_url"
    # As many connections as the widest race has threads.
    opened = Ledger(request.getfixturevalue(fixture), pool_size=32)
    yield opened
    assert_totals_agree(opened)
    opened.close()


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    """The embedded default, recounted at the end like `ledger`."""
    opened = Ledger(sqlite_url)
    yield opened
    assert_totals_agree(opened)
    opened.close()
