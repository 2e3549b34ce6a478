"""How a worker process ends: asked to, told to, or killed with calls in flight."""

import signal
from collections.abc import Callable

import pytest

from tests.acceptance.mill import FOUND_WITHIN_S, Mill
from tests.acceptance.processes import Process
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IN_FLIGHT = 8


@pytest.fixture
def mill(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str) -> Mill:
    return new_mill(database_url=ledger_url, broker_url=redis_url, in_flight=IN_FLIGHT)


def worker_with_calls_in_flight(mill: Mill, jobs: int, marker: str, *, plain: bool = False) -> Process:
    worker = mill.start_worker(plain=plain)
    mill.submit(plain_rows(jobs, marker))
    wait_until(lambda: mill.calls_in_flight() == min(jobs, IN_FLIGHT), 30, mill.tails)
    return worker


def test_s22_sigterm_finishes_the_calls_in_flight_and_leaves_the_rest_queued(mill: Mill) -> None:
    worker = worker_with_calls_in_flight(mill, 20, "delay 2", plain=True)
    assert worker.stop(signal.SIGTERM) == 0
    assert set(mill.outcomes()) == {"succeeded"}
    assert mill.states() == {"succeeded": len(mill.simulator.calls()), "queued": 20 - len(mill.simulator.calls())}
    assert mill.books.number("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0
    assert mill.spooled() == []
    mill.check(at_rest=False)


def test_the_first_ctrl_c_is_as_kind_as_sigterm(mill: Mill) -> None:
    worker = worker_with_calls_in_flight(mill, IN_FLIGHT, "delay 6")
    assert worker.stop(signal.SIGINT) == 0
    assert mill.states() == {"succeeded": IN_FLIGHT}
    mill.check()


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGQUIT,), (signal.SIGTERM, signal.SIGQUIT), (signal.SIGINT, signal.SIGINT)],
    ids=lambda signals: " then ".join(one.name for one in signals),
)
def test_s22_a_harder_signal_leaves_within_seconds_and_says_what_may_be_paid(
    mill: Mill, signals: tuple[signal.Signals, ...]
) -> None:
    worker = worker_with_calls_in_flight(mill, IN_FLIGHT + 4, "timeout")
    *first, last = signals
    for number in first:
        worker.send(number)
        wait_until(lambda: "worker_stopping" in worker.said(), 20, worker.tail)
    assert worker.stop(last) == 1
    assert mill.outcomes() == {"unknown": IN_FLIGHT}
    assert mill.states() == {"held": IN_FLIGHT, "queued": 4}
    assert mill.books.number("SELECT sum(possible_nano) FROM budgets") > 0
    mill.check(at_rest=False)


def test_a_worker_that_cannot_start_says_why_and_tells_its_supervisor(
    new_mill: Callable[..., Mill], postgres_url: str, redis_url: str
) -> None:
    worker = new_mill(database_url=postgres_url, broker_url=redis_url).start("work")
    assert worker.wait(30) == 1
    assert "imagemill db upgrade" in worker.said()


def test_s1_a_killed_workers_calls_are_held_and_sent_again_only_when_a_person_says_so(mill: Mill) -> None:
    killed = worker_with_calls_in_flight(mill, IN_FLIGHT, "timeout x1")
    lives_on = mill.start_worker()
    killed.crash()
    wait_until(lambda: mill.states() == {"held": IN_FLIGHT}, FOUND_WITHIN_S, mill.tails)
    assert mill.outcomes() == {"unknown": IN_FLIGHT}
    assert len(mill.simulator.calls()) == IN_FLIGHT
    mill.check()
    mill.run("retry", "last", "--held", "--yes")
    wait_until(lambda: mill.states() == {"succeeded": IN_FLIGHT}, 30, mill.tails)
    assert lives_on.stop() == 0
    calls = mill.simulator.calls()
    assert len(calls) == 2 * IN_FLIGHT
    assert len({line["idempotency_key"] for line in calls}) == IN_FLIGHT
    mill.check()


def test_s2_when_all_workers_are_killed_the_next_one_to_start_holds_their_calls(mill: Mill) -> None:
    killed = [worker_with_calls_in_flight(mill, 2 * IN_FLIGHT, "timeout"), mill.start_worker()]
    wait_until(lambda: mill.calls_in_flight() == 2 * IN_FLIGHT, 30, mill.tails)
    for worker in killed:
        worker.crash()
    next_one = mill.start_worker()
    wait_until(lambda: mill.states() == {"held": 2 * IN_FLIGHT}, FOUND_WITHIN_S, mill.tails)
    assert next_one.stop() == 0
    mill.check()
