"""Private Redis and PostgreSQL servers for the tests: own folder, own loopback port, own password.

Nothing here touches a server that was already running. Tests meet these classes through the fixtures of
tests/conftest.py; `python -m tests.services` tells scripts/setup which programs are missing.
"""

from tests.services.find import MissingServerError, find_postgres, find_redis
from tests.services.postgres_server import PostgresServer
from tests.services.redis_server import RedisServer

__all__ = ["MissingServerError", "PostgresServer", "RedisServer", "find_postgres", "find_redis"]
