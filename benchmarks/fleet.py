"""Fleets of `imagemill work` processes on one or several hosts, over a private PostgreSQL and Redis that all reach.

Called by bench_scale.py. A second host is a network namespace (hosts.py); without root there is none, and a note
says so.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import services
from benchmarks.common import Report
from benchmarks.hosts import ADDRESS, NETWORK, Host, hosts, missing
from benchmarks.ledger_costs import LOG_PREFIX, ServerCosts
from benchmarks.mill import Mill
from benchmarks.processes import wait_until
from tests.services import PostgresServer, RedisServer

ROOT = Path(__file__).parent.parent
STARTS_WITHIN_S = 120.0
LATENCY_S = 0.5
"""Of the simulator."""


@dataclass(frozen=True, slots=True)
class Fleet:
    name: str
    workers: int
    in_flight: int
    """Of each worker."""
    hosts: int = 1

    @property
    def ideal(self) -> float:
        """Jobs a second, if nothing but the endpoint took time."""
        return self.workers * self.in_flight / LATENCY_S


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers, and the other hosts that reach them at `address`."""

    postgres: PostgresServer
    redis: RedisServer
    address: str
    hosts: Sequence[Host]
    home: Path

    @contextmanager
    def ledger(self, endpoint_url: str = "http://127.0.0.1:9/v1") -> Iterator[tuple[Mill, ServerCosts]]:
        """A new ledger with nothing in it, and an empty broker."""
        url = self.postgres.new_database()
        self.redis.flushall()
        folder = Path(tempfile.mkdtemp(dir=self.home))
        mill = Mill(folder, self._outside(url), self._outside(self.redis.url), endpoint_url)
        try:
            with ServerCosts(self.postgres, url, self.redis) as costs:
                yield mill, costs
        finally:
            mill.close()
            self.postgres.drop_database(url)

    @contextmanager
    def workers(self, mill: Mill, fleet: Fleet) -> Iterator[list[int]]:
        """The fleet, registered and idle; its pids."""
        with ExitStack() as stack:
            pids = []
            for number in range(fleet.workers):
                prefix = self.hosts[number % fleet.hosts].prefix if fleet.hosts > 1 else ()
                worker = mill.worker(f"worker-{number}", fleet.in_flight, prefix=prefix)
                pids.append(stack.enter_context(worker).pid)
            wait_until(lambda: mill.live_workers() == fleet.workers, STARTS_WITHIN_S, "the workers' start")
            yield pids

    def _outside(self, url: str) -> str:
        return url.replace("@127.0.0.1:", f"@{self.address}:")


@contextmanager
def servers(report: Report) -> Iterator[Stage]:
    hindered = missing()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT)))
        if hindered:
            report.note(f"left out: other hosts: {hindered}")
        others = [] if hindered else stack.enter_context(hosts(2))
        addresses = ["127.0.0.1"] + ([ADDRESS] if others else [])
        settings = {"listen_addresses": ",".join(addresses), "log_line_prefix": LOG_PREFIX}
        postgres = stack.enter_context(services.postgres(**settings))
        redis = stack.enter_context(services.redis("--bind", *addresses))
        if others:
            _let_in(postgres)
        yield Stage(postgres, redis, addresses[-1], others, home)


def _let_in(postgres: PostgresServer) -> None:
    """The other hosts, by password."""
    with (postgres.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {NETWORK} scram-sha-256\n")
    with psycopg.connect(postgres.url(), autocommit=True) as sql:
        sql.execute("SELECT pg_reload_conf()")
