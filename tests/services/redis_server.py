"""A private Redis for the tests: loopback, password, no eviction; append-only file as the test wishes."""

import secrets
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.find import find_redis
from tests.services.server import Server

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {data}
daemonize no
save ""
appendonly {appendonly}
appendfsync always
maxmemory-policy noeviction
"""


class RedisServer(Server):
    """Keeps its data over a stop only when `appendonly` is set, as Redis itself does here."""

    def __init__(self, folder: Path, *, appendonly: bool = False) -> None:
        super().__init__(folder)
        self.appendonly = appendonly
        self._program = find_redis()
        self._password = secrets.token_hex(16)
        self._data = folder / "data"

    @property
    def url(self) -> str:
        """Holds the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        self._data.mkdir(exist_ok=True)
        config = self.folder / "redis.conf"  # a file, for arguments are public
        config.touch(mode=0o600)
        config.write_text(
            CONFIG.format(
                port=self.port,
                password=self._password,
                data=self._data,
                appendonly="yes" if self.appendonly else "no",
            )
        )
        return [str(self._program), str(config)]

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """A client that does not try twice; the caller closes it."""
        return redis.Redis.from_url(self.url, socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def flushall(self) -> None:
        """Empty every database: what the loss of a broker looks like to its clients."""
        with self.client() as client:
            client.flushall()
