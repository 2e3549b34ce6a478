"""Where the acceptance tests run: migrated databases, a simulator with a journal, and mills over them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.acceptance.mill import KEY, Mill
from tests.services import PostgresServer
from worker.simulator.config import SimulatorConfig
from worker.simulator.running import Simulator

TEMPLATE = "acceptance"
IMAGE_BYTES = 4_000
"""Small pictures: what is tried here is the way of the data, not its weight."""


@pytest.fixture(scope="session")
def migrated(postgres_server: PostgresServer) -> str:
    """The name of a database with the newest tables, to be copied."""

    def fill(url: str) -> None:
        ledger = Ledger(url)
        upgrade(ledger)
        ledger.close()

    postgres_server.make_template(TEMPLATE, fill)
    return TEMPLATE


@pytest.fixture
def ledger_url(migrated: str, postgres_database: Callable[..., str]) -> str:
    """A PostgreSQL ledger of the test's own, without a batch."""
    return postgres_database(migrated)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """An endpoint that lets in the one key; a test may change how it behaves."""
    config = SimulatorConfig(api_keys=(KEY,), pictures="prerendered", image_bytes=IMAGE_BYTES)
    with Simulator(config) as running:
        yield running


@pytest.fixture
def new_mill(tmp_path: Path, simulator: Simulator) -> Iterator[Callable[..., Mill]]:
    """Makes mills: `new_mill()` the embedded one; settings by name. All their processes end with the test."""
    with ExitStack() as stack:
        made = 0

        def make(**settings: Any) -> Mill:
            nonlocal made
            made += 1
            home = tmp_path / f"mill{made}"
            home.mkdir()
            return stack.enter_context(Mill(home, simulator, **settings))

        yield make


@pytest.fixture
def mill(new_mill: Callable[..., Mill]) -> Mill:
    """The embedded default: SQLite, a folder, no broker."""
    return new_mill(in_flight=16)


@pytest.fixture
def grown_mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    """PostgreSQL and Redis, no worker yet."""
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=16)
