"""The fixtures of every test of the sweep: the lab, made once per run, and the cases that a module asks for."""

from collections.abc import Iterator

import pytest

from tests.conftest import own_folder
from tests.crash.pairs import Lab
from tests.crash.sweep import Sweep
from tests.services.rabbitmq_server import RabbitServer

_SERVERS = {"postgresql": "postgres_server", "redis": "redis_server", "rabbitmq": "rabbitmq_server"}


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitServer]:
    """The run's RabbitMQ."""
    with own_folder("rabbitmq") as folder, RabbitServer(folder) as server:
        yield server


@pytest.fixture(scope="session")
def crash_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Where cases get their ledgers and brokers."""
    lab = Lab(tmp_path_factory.mktemp("crash"), lambda name: request.getfixturevalue(_SERVERS[name]))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def sweep(crash_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Sweep]:
    """Knows all cases of this module that were selected for this run."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    mine = [item for item in items if item.module is request.module and "sweep" in item.fixturenames]
    with Sweep(crash_lab, [item.callspec.params["case"] for item in mine]) as running:
        yield running
    if terminal := request.config.pluginmanager.get_plugin("terminalreporter"):
        terminal.write_line(running.summary())
