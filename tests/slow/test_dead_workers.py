"""Killed workers under the true lease of 60 s. Each worker is a machine of its own: nobody can see that another
process is dead, only that it is silent."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.mill import FOUND_WITHIN_S, Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IN_FLIGHT = 8


@pytest.fixture
def machines(new_mill: Callable[..., Mill], ledger_url: str, redis_url: str, tmp_path: Path) -> list[Mill]:
    """Five data folders over one ledger, one broker and one folder of images."""
    shared = {"database_url": ledger_url, "broker_url": redis_url, "storage_url": tmp_path / "images"}
    return [new_mill(in_flight=IN_FLIGHT, **shared) for _ in range(5)]


def open_on(mill: Mill, pids: list[int]) -> int:
    listed = ", ".join(map(str, pids))
    return mill.books.number(
        "SELECT count(*) FROM attempts JOIN workers ON workers.id = attempts.worker_id"
        f" WHERE attempts.outcome IS NULL AND workers.pid IN ({listed})"
    )


def test_s1_the_calls_of_a_killed_machine_are_held_within_the_promised_time(machines: list[Mill]) -> None:
    mill, other, *_ = machines
    doomed = mill.start_worker()
    mill.submit(plain_rows(IN_FLIGHT, "timeout"))
    wait_until(lambda: mill.calls_in_flight() == IN_FLIGHT, 30, mill.tails)
    other.start_worker()
    doomed.crash()
    killed_s = time.monotonic()
    wait_until(lambda: mill.states() == {"held": IN_FLIGHT}, 1.5 * FOUND_WITHIN_S, other.tails)
    assert time.monotonic() - killed_s < FOUND_WITHIN_S + 2
    assert mill.outcomes() == {"unknown": IN_FLIGHT}
    assert len(mill.simulator.calls()) == IN_FLIGHT


def test_s2_four_machines_killed_at_once_leave_their_calls_to_the_fifth(machines: list[Mill]) -> None:
    *four, fifth = machines
    jobs = IN_FLIGHT * len(four)
    workers = [mill.start_worker() for mill in four]
    fifth.submit(plain_rows(jobs, "timeout"))
    wait_until(lambda: fifth.calls_in_flight() == jobs, 60, fifth.tails)
    for worker in workers:
        worker.crash()
    fifth.start_worker()
    started_s = time.monotonic()
    wait_until(lambda: not open_on(fifth, [one.pid for one in workers]), 2 * FOUND_WITHIN_S, fifth.tails)
    assert time.monotonic() - started_s < FOUND_WITHIN_S + 2
    assert fifth.states() == {"held": jobs}
    assert len(fifth.simulator.calls()) == jobs
