"""What a killed process left behind: owned answers are settled without a second call, the rest is named unknown.

A child process is killed with SIGKILL at a chosen step of its own booking; the next run is in this process.
"""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs.ledger import recovery, schema
from jobs.ledger.engine import Ledger
from jobs.submit import Policy
from tests.integration.ledgers import attempt_row, by_policy, count, job_row, money, states, worker_row
from tests.integration.mills import QUICK, Mill, billed, until
from worker.executor import Executor
from worker.replay import replay_abandoned
from worker.simulator import start_in_thread

KILL_AT = {
    "before_owning": "worker.settler.Spool, 'own'",
    "after_owning": "worker.booking.Booking, '_publish'",
    "after_publishing": "worker.booking.Booking, '_ending'",
    "after_settling": "worker.settler.Spool, 'release'",
}

CHILD = """
import os, signal, sys, threading
import worker.booking, worker.settler
from jobs.catalogue.prices import PriceBook
from jobs.ledger.engine import Ledger
from jobs.settings import load_settings
from worker.embedded import run_batch

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{kill}
data, database, endpoint, batch = sys.argv[1:]
settings = load_settings(data_dir=data, endpoint_url=endpoint, api_key="sk-test", in_flight=4)
ledger = Ledger(database)
run_batch(ledger, settings, PriceBook.load(None), batch, on_standing=lambda _: None, stop=threading.Event())
"""


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


@contextmanager
def child(mill: Mill, batch: str, kill: str) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(mill.folder / "data"), f"sqlite:///{mill.folder / 'ledger.db'}", mill.simulator.url, batch]
    script = textwrap.dedent(CHILD).format(kill=f"setattr({kill}, die)" if kill else "")
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_until_killed(mill: Mill, batch: str, step: str) -> None:
    with child(mill, batch, KILL_AT[step]) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == -9, said


def assert_images_match(mill: Mill) -> None:
    with mill.ledger.read() as tx:
        rows = {row.path: row.sha256 for row in tx.execute(select(schema.images))}
    root = mill.folder / "data" / "images"
    assert {str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() for path in mill.images()} == rows


@pytest.mark.parametrize("step", ["after_owning", "after_publishing", "after_settling"])
def test_an_owned_answer_is_settled_by_the_next_run_without_a_second_call(mill: Mill, step: str) -> None:
    batch = mill.submit("a fox", n=3)
    run_until_killed(mill, batch, step)
    assert job_row(mill.ledger, batch).state == ("succeeded" if step == "after_settling" else "running")
    stands = mill.run(batch)
    (call,) = mill.simulator.calls()
    assert (stands.state, stands.jobs["succeeded"], stands.images) == ("done", 1, 3)
    assert (stands.confirmed_nano, stands.possible_nano) == (billed([call]), 0)
    assert_images_match(mill)
    assert mill.spooled() == []


def test_an_answer_that_was_not_owned_is_a_doubt_and_leaves_no_litter(mill: Mill) -> None:
    batch = mill.submit("a fox")
    run_until_killed(mill, batch, "before_owning")
    assert len(mill.spooled()) == 3  # its part, the lock, and what was sent
    stands = mill.run(batch)
    assert (stands.state, stands.jobs["held"], stands.confirmed_nano) == ("done", 1, 0)
    assert 0 < billed(mill.simulator.calls()) <= stands.possible_nano
    assert len(mill.simulator.calls()) == 1
    assert mill.images() == mill.spooled() == []


def test_a_run_killed_with_calls_in_flight_leaves_as_many_doubts(mill: Mill) -> None:
    batch = mill.submit(*["a fox [[sim: timeout]]"] * 3, "another fox")
    with child(mill, batch, ""):
        until(lambda: len(mill.simulator.calls()) == 4 and states(mill.ledger, batch)["succeeded"] == 1)
    (dead,) = attempts_by_worker(mill)
    stands = mill.run(batch)
    assert (stands.state, stands.jobs["held"], stands.jobs["succeeded"]) == ("done", 3, 1)
    assert len(mill.simulator.calls()) == 4
    assert worker_row(mill.ledger, dead).ended_at is not None


def attempts_by_worker(mill: Mill) -> set[str]:
    with mill.ledger.read() as tx:
        return set(tx.execute(select(schema.attempts.c.worker_id)).scalars())


def test_an_answer_owned_by_a_swept_process_resolves_the_doubt_late(mill: Mill) -> None:
    batch = mill.submit("a fox")
    run_until_killed(mill, batch, "after_owning")
    (call,) = mill.simulator.calls()
    close_dead_workers(mill)
    assert job_row(mill.ledger, batch).state == "held"
    stands = mill.run(batch)
    assert (stands.jobs["succeeded"], stands.possible_nano) == (1, 0)
    assert stands.confirmed_nano == billed([call])
    assert len(mill.simulator.calls()) == 1


def test_a_second_result_of_a_repeat_is_surplus(mill: Mill) -> None:
    batch = mill.submit("a fox", policy=Policy(retry_unknown=1))
    run_until_killed(mill, batch, "after_owning")
    close_dead_workers(mill)
    with out_of_reach(mill):
        assert mill.run(batch).jobs["succeeded"] == 1  # by a second call
    stands = mill.run(batch)
    assert count(mill.ledger, schema.images, schema.images.c.surplus) == 1
    assert (stands.jobs["succeeded"], stands.images) == (1, 2)
    assert (stands.confirmed_nano, stands.possible_nano) == (billed(mill.simulator.calls()), 0)
    assert_images_match(mill)


@contextmanager
def out_of_reach(mill: Mill) -> Iterator[None]:
    """What dead processes left is on another machine meanwhile."""
    spool, elsewhere = mill.folder / "data" / "spool", mill.folder / "elsewhere"
    spool.rename(elsewhere)
    yield
    for folder in elsewhere.iterdir():
        folder.rename(spool / folder.name)


def close_dead_workers(mill: Mill) -> None:
    """As the sweep does on a machine that cannot see the spool."""
    with mill.ledger.read() as tx:
        spools = (
            tx.execute(select(schema.workers.c.spool).where(schema.workers.c.ended_at.is_(None))).scalars().all()
        )
    for spool in spools:
        mill.ledger.write(recovery.close_spool, spool, by_policy)


def test_a_spool_that_cannot_be_replayed_stays_and_does_not_hold_up_the_others(mill: Mill) -> None:
    bad, good = mill.submit("a fox"), mill.submit("another fox")
    run_until_killed(mill, bad, "after_owning")
    (part,) = [path for path in mill.spooled() if path.name.endswith(".part")]
    image = part.read_bytes()
    part.unlink()
    with out_of_reach(mill):
        run_until_killed(mill, good, "after_owning")
    executor = mill.executor()
    replay_abandoned(executor)
    assert job_row(mill.ledger, good).state == "succeeded"
    assert job_row(mill.ledger, bad).state == "held"
    assert part.parent.is_dir()
    part.write_bytes(image)
    replay_abandoned(executor)
    assert job_row(mill.ledger, bad).state == "succeeded"
    assert money(mill.ledger, bad)[1] == 0
    finish(executor)


def test_a_damaged_group_file_stops_neither_the_worker_nor_the_sweep_of_its_owner(mill: Mill) -> None:
    batch = mill.submit("a fox")
    run_until_killed(mill, batch, "after_owning")
    (group,) = [path for path in mill.spooled() if path.name.startswith("answers-")]
    group.write_bytes(group.read_bytes()[:40])
    executor = mill.executor()
    replay_abandoned(executor)
    replay_abandoned(executor)
    assert group.is_file()
    assert job_row(mill.ledger, batch).state == "running"
    finish(executor)
    close_dead_workers(mill)
    assert job_row(mill.ledger, batch).state == "held"


def test_a_live_process_keeps_its_spool(mill: Mill) -> None:
    batch = mill.submit("a fox [[sim: delay 0.5]]")
    running, other = mill.executor(), mill.executor()
    running.start()
    until(lambda: bool(mill.simulator.calls()))
    replay_abandoned(other)
    (call,) = mill.simulator.calls()
    assert attempt_row(mill.ledger, call["attempt_id"]).outcome is None
    assert running.close()
    assert job_row(mill.ledger, batch).state == "succeeded"
    finish(other)


def finish(executor: Executor) -> None:
    """Close an executor that was never started."""
    executor.start()
    executor.close()
