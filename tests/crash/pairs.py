"""Where a case runs: a ledger of its own on SQLite or PostgreSQL, with or without a broker, one simulator for all.

The lab is made once per test run; each case takes a site from it, a folder with ledger, broker and settings.
"""

import itertools
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.acceptance.mill import KEY
from tests.books import Books
from tests.crash.boundaries import JOURNAL
from worker.simulator.config import SimulatorConfig
from worker.simulator.running import Simulator
from worker.tickets import QUEUE

TEMPLATE = "crash"
SIDE_BY_SIDE = 4
"""Cases that run at the same time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A ledger and a broker. Without one the worker is `imagemill run`, with one it is `imagemill work`."""

    ledger: str
    broker: str | None

    @property
    def name(self) -> str:
        return f"{self.ledger}-{self.broker}" if self.broker else self.ledger


EMBEDDED = Pair("sqlite", None)
GROWN_UP = Pair("postgresql", "redis")


@dataclass(frozen=True, slots=True)
class Site:
    """One case's own place."""

    pair: Pair
    home: Path
    ledger_url: str
    env: dict[str, str]
    simulator: Simulator

    @property
    def books(self) -> Books:
        return Books(self.ledger_url)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def spool(self) -> Path:
        return self.data / "spool"


class Lab:
    """Makes sites. `servers` starts a service by its name, or gives the one that runs already."""

    def __init__(self, folder: Path, servers: Callable[[str], Any]) -> None:
        self._folder = folder
        self._servers = servers
        self._started: dict[str, Any] = {}
        self._numbers = itertools.count(1)
        self._one_by_one = threading.Lock()
        self._places: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(SIDE_BY_SIDE):
            self._places.put(place)
        self._sqlite_template = folder / "template.db"
        migrate(f"sqlite:///{self._sqlite_template}")
        self.journal = folder / "journal.jsonl"
        config = SimulatorConfig(
            api_keys=(KEY,), latency_s=0.01, pictures="prerendered", image_bytes=3_000, journal=self.journal
        )
        self.simulator = Simulator(config)

    def close(self) -> None:
        self.simulator.stop()

    def prepare(self, pair: Pair) -> None:
        """Start what the pair needs; on the thread that owns the services."""
        for name in (pair.ledger, pair.broker):
            if name not in (None, "sqlite", *self._started):
                self._started[name] = server = self._servers(name)
                if name == "postgresql":
                    server.make_template(TEMPLATE, migrate)

    @contextmanager
    def site(self, pair: Pair) -> Iterator[Site]:
        """A clean place; what it held on servers is gone afterwards."""
        home = self._folder / f"case{next(self._numbers)}"
        (home / "data").mkdir(parents=True)
        place = self._places.get()
        try:
            with self._ledger(pair.ledger, home) as ledger_url, self._broker(pair.broker, place) as broker_url:
                yield Site(pair, home, ledger_url, self._env(home, ledger_url, broker_url), self.simulator)
        finally:
            self._places.put(place)

    @contextmanager
    def _ledger(self, kind: str, home: Path) -> Iterator[str]:
        if kind == "sqlite":
            path = home / "data" / "ledger.db"
            shutil.copyfile(self._sqlite_template, path)
            yield f"sqlite:///{path}"
            return
        server = self._started[kind]
        url = server.new_database(TEMPLATE)
        try:
            yield url
        finally:
            server.drop_database(url)

    @contextmanager
    def _broker(self, kind: str | None, place: int) -> Iterator[str | None]:
        """An empty broker: one of Redis's databases for each of the cases that run at the same time, while those on
        RabbitMQ wait for each other."""
        if kind is None:
            yield None
        elif kind == "redis":
            url = f"{self._started[kind].url.rpartition('/')[0]}/{place}"
            with redis.Redis.from_url(url) as client:
                client.flushdb()
            yield url
        else:
            with self._one_by_one:
                self._started[kind].delete_queue(QUEUE)
                yield self._started[kind].url

    def _env(self, home: Path, ledger_url: str, broker_url: str | None) -> dict[str, str]:
        settings = {
            "data_dir": home / "data",
            "database_url": ledger_url,
            "broker_url": broker_url,
            "endpoint_url": self.simulator.url,
            "api_key": KEY,
            "allow_private_hosts": f"127.0.0.1:{self.simulator.port}",
            "in_flight": 8,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
        given = {f"IMAGEMILL_{name.upper()}": str(value) for name, value in settings.items() if value is not None}
        return kept | given | {JOURNAL: str(self.journal)}


def migrate(url: str) -> None:
    """Bring an empty ledger up to date."""
    ledger = Ledger(url)
    upgrade(ledger)
    ledger.close()
