"""What happens to Redis and PostgreSQL during a run: emptied, crashed, frozen, and brought back."""

import os
import signal
import time
from contextlib import suppress

from tests.services import PostgresServer, RedisServer
from tests.torture.schedule import Blow
from tests.torture.timers import Timers

SETTLES_WITHIN_S = 3.0
"""After it answers again: connections are made anew meanwhile."""


class Servers:
    """The servers of a run; without any, no blow is meant for them."""

    def __init__(self, postgres: PostgresServer | None, redis: RedisServer | None, timers: Timers) -> None:
        self._postgres = postgres
        self._redis = redis
        self._timers = timers
        self._redis_thaws_s = 0.0
        self._postgres_back_s = 0.0

    @property
    def ledger_up(self) -> bool:
        """The ledger's server has not been touched for some seconds."""
        up = self._postgres is None or self._postgres.running
        return up and time.monotonic() > self._postgres_back_s + SETTLES_WITHIN_S

    @property
    def up(self) -> bool:
        """Everything answers."""
        return self.ledger_up and time.monotonic() > self._redis_thaws_s

    def hit(self, blow: Blow) -> bool:
        """False: not now."""
        assert self._redis is not None and self._postgres is not None
        if time.monotonic() < self._redis_thaws_s or not self._postgres.running:
            return False
        match blow.kind:
            case "redis_flush":
                self._redis.flushall()
            case "redis_restart":
                self._redis.crash()
                self._redis.start()
            case "redis_freeze":
                self._freeze_redis(self._redis.pid, blow.lasts_s)
            case _:
                self._postgres.crash()
                self._timers.after(blow.lasts_s, self._start_postgres)
        return True

    def _freeze_redis(self, pid: int, lasts_s: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        self._redis_thaws_s = time.monotonic() + lasts_s + 0.1
        self._timers.after(lasts_s, lambda: _thaw(pid))

    def _start_postgres(self) -> None:
        assert self._postgres is not None
        self._postgres.start()
        self._postgres_back_s = time.monotonic()


def _thaw(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
