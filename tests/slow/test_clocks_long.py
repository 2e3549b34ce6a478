"""Clocks that step, calls longer than leases, and processes that stand still and come back."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.links import all_called_once, calls_begun, hurried, nobody_was_swept
from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IN_FLIGHT = 4
HOUR_MS = 3_600_000


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)


@pytest.fixture(params=["postgresql", "sqlite"])
def on_either(request: pytest.FixtureRequest, new_mill: Callable[..., Mill], redis_url: str) -> Mill:
    """A mill on PostgreSQL, or on SQLite with workers of one machine."""
    url = request.getfixturevalue("ledger_url") if request.param == "postgresql" else None
    mill = new_mill(database_url=url, broker_url=redis_url, in_flight=IN_FLIGHT, requests_per_minute=6_000)
    mill.run("db", "upgrade")
    return mill


def test_s17_a_clock_that_steps_kills_no_live_call_and_stops_no_work(on_either: Mill, tmp_path: Path) -> None:
    """The ledger's clock, and with it that of every worker: an hour on, back, an hour back, two days on."""
    mill, clock = on_either, tmp_path / "clock"
    workers = [mill.start_worker(faults=hurried(clock_file=str(clock))) for _ in range(2)]
    jobs = 0
    for step_ms in (HOUR_MS, 0, -HOUR_MS, 48 * HOUR_MS):
        mill.submit(plain_rows(3 * IN_FLIGHT, "delay 3"), "--again")
        jobs += 3 * IN_FLIGHT
        begun = jobs - 3 * IN_FLIGHT + IN_FLIGHT
        wait_until(lambda n=begun: len(mill.simulator.calls()) >= n, 60, mill.tails)
        clock.write_text(str(step_ms))
        mill.wait_done(jobs, 90)
    all_called_once(mill, jobs, *workers)
    nobody_was_swept(mill)
    assert mill.books.number("SELECT count(*) FROM attempts WHERE duration_ms IS NULL OR duration_ms < 3000") == 0


def test_s17_after_a_clock_was_set_back_the_dead_are_found_as_soon_as_ever(mill: Mill, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    dead, alive = (mill.start_worker(faults=hurried(clock_file=str(clock))) for _ in range(2))
    mill.submit(plain_rows(2 * IN_FLIGHT, "timeout"))
    calls_begun(mill, 2 * IN_FLIGHT)
    clock.write_text(str(-HOUR_MS))
    dead.crash()
    mine = f"SELECT count(*) FROM attempts JOIN workers ON workers.id = worker_id WHERE pid = {dead.pid}"
    wait_until(lambda: mill.states().get("held") == mill.books.number(mine), 60, mill.tails)
    assert alive.running


def test_s11_calls_longer_than_several_leases_are_made_once(mill: Mill) -> None:
    workers = [mill.start_worker(faults=hurried()) for _ in range(2)]
    mill.submit(plain_rows(2 * IN_FLIGHT, "delay 25"))
    all_called_once(mill, 2 * IN_FLIGHT, *workers)
    nobody_was_swept(mill)


def test_s25_a_zombie_s_late_answers_are_booked_as_surplus_and_it_changes_nothing_else(mill: Mill) -> None:
    """Stopped past its lease while its calls are under way; others repeat them, as the batch allows."""
    zombie = mill.start_worker(faults=hurried())
    mill.submit(plain_rows(IN_FLIGHT, "delay 10 x1"), "--retry-unknown", "1")
    calls_begun(mill, IN_FLIGHT)
    zombie.send(signal.SIGSTOP)
    other = mill.start_worker(faults=hurried())
    try:
        wait_until(lambda: mill.states() == {"succeeded": IN_FLIGHT}, 60, mill.tails)
        assert mill.outcomes() == {"unknown": IN_FLIGHT, "succeeded": IN_FLIGHT}
        ended = mill.books.ask(f"SELECT * FROM workers WHERE pid = {zombie.pid}")
    finally:
        zombie.send(signal.SIGCONT)
    wait_until(lambda: mill.outcomes() == {"succeeded": 2 * IN_FLIGHT}, 60, mill.tails)
    assert mill.books.ask(f"SELECT * FROM workers WHERE id = '{ended[0]['id']}'") == ended
    assert [zombie.stop(), other.stop()] == [0, 0]
    assert len(mill.simulator.calls()) == 2 * IN_FLIGHT
    assert mill.books.number("SELECT count(*) FROM images WHERE surplus") == IN_FLIGHT
    assert mill.books.number("SELECT sum(possible_nano) FROM budgets") == 0
    mill.check()
