"""The fixtures of every test of the sweep: the lab, made once per run, its servers started when a case needs them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.crash.pairs import Lab
from tests.services import PostgresServer


@pytest.fixture(scope="session")
def crash_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Where cases get their ledgers and brokers."""
    folder = tmp_path_factory.mktemp("crash")
    template = folder / "template.db"
    _migrate(f"sqlite:///{template}")

    def server(name: str) -> Callable[[], Any]:
        return lambda: request.getfixturevalue(name)

    lab = Lab(folder, template, lambda: _postgres(request), {"redis": server("redis_server")})
    yield lab
    lab.close()


def _postgres(request: pytest.FixtureRequest) -> tuple[PostgresServer, str]:
    return request.getfixturevalue("postgres_server"), request.getfixturevalue("migrated")


def _migrate(url: str) -> None:
    ledger = Ledger(url)
    upgrade(ledger)
    ledger.close()
