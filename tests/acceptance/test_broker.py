"""The broker carries wake-ups only: wiped, restarted, silent, gone or lied to, it costs seconds and never a job."""

import json
import os
import signal
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.links import QUEUE, waiting_tickets
from tests.acceptance.mill import FOUND_WITHIN_S, Mill
from tests.acceptance.processes import Process
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until
from tests.services import RedisServer

SLOW = "delay 0.5"
"""Long enough that something is in flight whenever the broker is touched."""


def test_s7_a_wiped_broker_costs_no_job_and_no_second_call(grown_mill: Mill, redis_server: RedisServer) -> None:
    mill = grown_mill
    workers = [mill.start_worker(), mill.start_worker()]
    mill.submit(plain_rows(160, SLOW))
    wait_until(lambda: mill.settled_jobs() > 40, 30, mill.tails)
    redis_server.flushall()
    mill.wait_done(160, 60)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert_each_was_called_once(mill, 160)


def test_s7_a_worker_that_starts_after_the_broker_was_wiped_finds_the_work(
    grown_mill: Mill, redis_server: RedisServer
) -> None:
    mill = grown_mill
    mill.submit(plain_rows(40))
    redis_server.flushall()
    worker = mill.start_worker()
    mill.wait_done(40, 30)
    assert worker.stop() == 0
    assert_each_was_called_once(mill, 40)


@pytest.mark.parametrize("remembers", [False, True], ids=["forgetful", "persistent"])
def test_s6_a_worker_survives_two_broker_restarts_with_calls_in_flight_and_is_woken_again(
    grown_mill: Mill, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    mill = grown_mill
    monkeypatch.setattr(redis_server, "appendonly", remembers)
    redis_server.restart()
    worker = mill.start_worker()
    mill.submit(plain_rows(120, SLOW))
    for settled in (20, 60):
        wait_until(lambda least=settled: mill.settled_jobs() > least and mill.calls_in_flight() > 0, 30, mill.tails)
        redis_server.restart()
    mill.wait_done(120, 60)
    assert worker.running, worker.tail()
    assert "Connection to broker lost" in worker.said()
    mill.submit(plain_rows(8), "--again")
    wait_until(lambda: waiting_tickets(redis_server) == 0, 30, "the ticket to be taken")
    mill.wait_done(128, 30)
    assert worker.stop() == 0
    assert_each_was_called_once(mill, 128)


def test_s7_work_of_which_no_ticket_tells_is_found_by_looking(grown_mill: Mill, redis_server: RedisServer) -> None:
    mill = grown_mill
    redis_server.stop()
    worker = mill.start_worker()
    said = mill.run("submit", mill.write(plain_rows(40)))
    assert "workers find the batch by themselves" in said.err
    mill.wait_done(40, 30)
    assert worker.stop() == 0
    assert_each_was_called_once(mill, 40)


def test_s10_a_silent_broker_holds_up_neither_submit_nor_work_nor_the_care_for_a_dead_worker(
    grown_mill: Mill, redis_server: RedisServer
) -> None:
    mill = grown_mill
    killed = mill.start_worker()
    mill.submit(plain_rows(8, "timeout"))
    wait_until(lambda: mill.calls_in_flight() == 8, 30, mill.tails)
    lives_on = mill.start_worker()
    with frozen(redis_server):
        killed.crash()
        said = mill.run("submit", mill.write(plain_rows(20)), within_s=30)
        assert "workers find the batch by themselves" in said.err
        mill.wait_done(28, FOUND_WITHIN_S)
        assert mill.states() == {"succeeded": 20, "held": 8}
    mill.submit(plain_rows(12), "--again")
    wait_until(lambda: waiting_tickets(redis_server) == 0, 60, lives_on.tail)
    mill.wait_done(40, 30)
    assert lives_on.stop() == 0
    assert len(mill.simulator.calls()) == 40
    mill.check()


@contextmanager
def frozen(redis_server: RedisServer) -> Iterator[None]:
    """It takes connections and bytes and answers nothing, as a machine that hangs."""
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)


def test_s20_tickets_delivered_a_hundred_times_and_forged_ids_start_no_call(
    grown_mill: Mill, redis_server: RedisServer
) -> None:
    mill = grown_mill
    batch = mill.submit(plain_rows(20, SLOW))
    (ticket,) = messages(redis_server)
    push(
        redis_server, *[ticket] * 100, *(reworded(ticket, batch, other) for other in ("b_", "b_NOBODY", "' OR 1=1"))
    )
    worker = mill.start_worker()
    mill.wait_done(20, 30)
    assert_all_taken(redis_server, worker)
    assert worker.stop() == 0
    assert_each_was_called_once(mill, 20)


def test_c14_messages_of_a_broker_that_was_taken_over_run_nothing_and_kill_no_worker(
    grown_mill: Mill, redis_server: RedisServer
) -> None:
    mill = grown_mill
    mill.submit(plain_rows(4))
    (ticket,) = messages(redis_server)
    push(
        redis_server,
        ticket | {"content-type": "application/x-python-serialize"},
        ticket | {"headers": ticket["headers"] | {"task": "os.system"}},
        ticket | {"headers": ticket["headers"] | {"task": "celery.chain"}},
        {"no": "message"},
    )
    worker = mill.start_worker()
    mill.wait_done(4, 30)
    assert_all_taken(redis_server, worker)
    assert "Refusing to deserialize untrusted content of type pickle" in worker.said()
    assert worker.stop() == 0
    assert_each_was_called_once(mill, 4)


def messages(redis_server: RedisServer) -> list[dict[str, Any]]:
    with redis_server.client() as client:
        return [json.loads(message) for message in client.lrange(QUEUE, 0, -1)]


def push(redis_server: RedisServer, *written: dict[str, Any]) -> None:
    with redis_server.client() as client:
        client.rpush(QUEUE, *map(json.dumps, written))


def reworded(ticket: dict[str, Any], batch: str, other: str) -> dict[str, Any]:
    """The same ticket for a batch of another name."""
    body = b64decode(ticket["body"]).decode()
    assert batch in body
    return ticket | {"body": b64encode(body.replace(batch, other).encode()).decode()}


def assert_all_taken(redis_server: RedisServer, worker: Process) -> None:
    wait_until(
        lambda: waiting_tickets(redis_server) == 0, 60, lambda: f"every message to be taken\n{worker.tail()}"
    )
    assert worker.running, worker.tail()


def assert_each_was_called_once(mill: Mill, jobs: int) -> None:
    assert mill.states() == {"succeeded": jobs}
    assert len(mill.simulator.calls()) == jobs
    mill.check()
