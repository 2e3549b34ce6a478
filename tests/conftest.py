"""What every test may ask for: private servers, one of each per run, and a clean place on them per test.

A server starts when the first test asks for it and ends with the run. A missing program fails those tests and
says which package to install; nothing is skipped.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.services import PostgresServer, RedisServer

# Slow machines are no findings. A failure prints what repeats it.
settings.register_profile("imagemill", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("imagemill")


@contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """A folder outside pytest's own, which is closed to the account that servers run under for root."""
    with tempfile.TemporaryDirectory(prefix=f"imagemill-{name}-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The run's Redis. A test that stops or crashes it starts it again."""
    with own_folder("redis") as folder, RedisServer(folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The run's PostgreSQL. A test that stops or crashes it starts it again."""
    with own_folder("postgres") as folder, PostgresServer(folder) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    redis_server.start()
    redis_server.flushall()
    return redis_server.url


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[Callable[..., str]]:
    """Makes databases: `postgres_database()` or `postgres_database(template)` returns a new one's URL."""
    postgres_server.start()
    made: list[str] = []

    def make(template: str = "template1") -> str:
        made.append(postgres_server.new_database(template))
        return made[-1]

    yield make
    postgres_server.start()
    for url in made:
        postgres_server.drop_database(url)


@pytest.fixture
def postgres_url(postgres_database: Callable[..., str]) -> str:
    """A database of the test's own, without tables."""
    return postgres_database()
