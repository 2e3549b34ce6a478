"""Pause and cancel while calls are in flight; submissions that are killed while their rows are loading."""

from collections.abc import Callable

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IN_FLIGHT = 16
JOBS = 160
"""So many that some still wait when a command has started on a busy machine."""


@pytest.fixture
def working(grown_mill: Mill) -> Mill:
    """A worker with its places full, and as many jobs waiting as went before."""
    grown_mill.start_worker()
    grown_mill.submit(plain_rows(JOBS, "delay 1"))
    wait_until(lambda: grown_mill.calls_in_flight() == IN_FLIGHT, 30, grown_mill.tails)
    return grown_mill


def decided_at(mill: Mill, verb: str) -> int:
    """The ledger's moment of that act."""
    return mill.books.number(f"SELECT max(at) FROM acts WHERE verb = '{verb}'")


def last_admitted_at(mill: Mill) -> int:
    return mill.books.number("SELECT max(admitted_at) FROM attempts")


def assert_all_called_are_kept(mill: Mill, others: str) -> None:
    """Every call that was made ended in images; the other jobs wait, or are cancelled."""
    calls = len(mill.simulator.calls())
    assert IN_FLIGHT <= calls < JOBS
    assert mill.states() == {"succeeded": calls, others: JOBS - calls}
    assert len(list(mill.images.rglob("*.png"))) == calls


def test_s27_a_pause_with_16_calls_in_flight_admits_nothing_more_and_keeps_what_they_bring(working: Mill) -> None:
    working.run("pause", "last")
    wait_until(lambda: working.open_attempts() == 0, 30, working.tails)
    assert_all_called_are_kept(working, "queued")
    assert last_admitted_at(working) <= decided_at(working, "pause")
    working.check(at_rest=False)
    working.run("resume", "last")
    working.wait_done(JOBS, 60)
    assert working.states() == {"succeeded": JOBS}
    working.check()


def test_s27_a_cancel_with_16_calls_in_flight_admits_nothing_more_and_keeps_what_they_bring(working: Mill) -> None:
    working.run("cancel", "last", "--yes")
    wait_until(lambda: working.open_attempts() == 0, 30, working.tails)
    assert_all_called_are_kept(working, "cancelled")
    assert last_admitted_at(working) <= decided_at(working, "cancel")
    working.check()


def killed_while_loading(mill: Mill, rows: int) -> None:
    """A submission killed with some of its rows staged; the next ones make one batch of all of them."""
    manifest = mill.write(plain_rows(rows))
    submission = mill.start("submit", manifest)
    loaded = "SELECT count(*) FROM jobs"
    wait_until(lambda: mill.books.number(loaded) > 0 or not submission.running, 60, submission.tail)
    submission.crash()
    staged = mill.books.number(loaded)
    assert 0 < staged < rows, "killed too late or too early to tell anything"
    assert mill.books.number("SELECT count(*) FROM batches WHERE state <> 'loading'") == 0
    assert mill.run("status", "--json").out
    first, second = (mill.run("submit", manifest, "--json", within_s=120).json() for _ in range(2))
    assert (first["jobs"], first["duplicate_of_earlier_submit"]) == (rows, False)
    assert (second["batch"], second["duplicate_of_earlier_submit"]) == (first["batch"], True)
    assert mill.books.number("SELECT count(*) FROM batches WHERE state = 'open'") == 1
    opened = f"SELECT count(*) FROM jobs WHERE batch_id = '{first['batch']}'"
    assert mill.books.number(opened) == rows


def test_s28_a_submission_killed_half_way_leaves_nothing_that_runs_and_the_next_is_whole(
    new_mill: Callable[..., Mill],
) -> None:
    mill = new_mill()
    mill.run("db", "upgrade")
    killed_while_loading(mill, 60_000)
