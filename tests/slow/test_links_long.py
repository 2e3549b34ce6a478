"""Links that are cut for longer than a lease, crashes of the database, and commits cut by the hundred."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.links import all_called_once, calls_begun, hurried, nobody_was_swept, port_of
from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until
from tests.faults.proxy import Proxy
from tests.services import PostgresServer

IN_FLIGHT = 8


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)


@pytest.fixture
def link(ledger_url: str) -> Iterator[Proxy]:
    """Between a worker and the database."""
    with Proxy(port_of(ledger_url)) as proxy:
        yield proxy


def test_s8_five_hundred_commits_cut_lose_nothing_and_settle_nothing_twice(mill: Mill, link: Proxy) -> None:
    workers = [
        mill.start_worker(faults=hurried(), database_url=link.through(mill.books.url), in_flight=2)
        for _ in range(2)
    ]
    link.change(pattern=b"COMMIT", one_in=2)
    ways, jobs = itertools.cycle(["request", "reply"]), 0

    def settled() -> bool:
        link.change(lose=next(ways))
        return mill.settled_jobs() == jobs

    while link.lost < 500:
        mill.submit(plain_rows(100), "--again")
        jobs += 100
        wait_until(settled, 300, mill.tails)
    link.heal()
    all_called_once(mill, jobs, *workers)
    assert mill.outcomes().keys() <= {"succeeded", "not_sent"}


def test_s8_a_database_that_crashes_with_calls_in_flight_loses_none_of_them(
    mill: Mill, postgres_server: PostgresServer
) -> None:
    mill.submit(plain_rows(60, "delay 0.5"))
    worker = mill.start_worker(faults=hurried())
    for crashed_after in (8, 24):
        wait_until(lambda at=crashed_after: mill.settled_jobs() >= at, 30, mill.tails)
        postgres_server.crash()
        postgres_server.start()
    all_called_once(mill, 60, worker)
    nobody_was_swept(mill)


def test_s9_a_worker_cut_from_the_database_calls_no_more_and_its_answers_settle_later(
    mill: Mill, link: Proxy
) -> None:
    """Others call it dead, take over what it had not begun, and its late answers resolve the doubt."""
    cut_off = mill.start_worker(faults=hurried(), database_url=link.through(mill.books.url))
    mill.submit(plain_rows(2 * IN_FLIGHT, "delay 1.5"))
    calls_begun(mill, IN_FLIGHT)
    link.change(drop=True)
    wait_until(lambda: mill.calls_in_flight() == 0, 30, mill.tails)
    wait_until(lambda: "settlement_failed" in cut_off.said(), 30, mill.tails)
    assert len(mill.simulator.calls()) == IN_FLIGHT
    other = mill.start_worker(faults=hurried())
    wait_until(lambda: mill.states() == {"succeeded": IN_FLIGHT, "held": IN_FLIGHT}, 30, mill.tails)
    link.heal()
    all_called_once(mill, 2 * IN_FLIGHT, cut_off, other)
    assert "worker_fenced" in cut_off.said()


def test_s9_after_an_outage_of_the_database_no_live_worker_is_taken_for_dead(
    mill: Mill, postgres_server: PostgresServer
) -> None:
    """Every heartbeat is older than the lease then, the sweeper's own as well."""
    workers = [mill.start_worker(faults=hurried()) for _ in range(2)]
    mill.submit(plain_rows(4 * IN_FLIGHT, "delay 12"))
    calls_begun(mill, 2 * IN_FLIGHT)
    postgres_server.stop()
    wait_until(lambda: all(w.said().count("heartbeat_failed") >= 7 for w in workers), 60, mill.tails)
    assert len(mill.simulator.calls()) == 2 * IN_FLIGHT
    postgres_server.start()
    all_called_once(mill, 4 * IN_FLIGHT, *workers)
    nobody_was_swept(mill)
