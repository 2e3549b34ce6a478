"""Disks that fail or are full: what was paid for is kept if it can be, and nothing is paid for that cannot be."""

import errno
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until
from tests.faults.disk import FaultyDisk

INSTALL = {"install": ["tests.faults.disk:install"]}


@pytest.fixture
def disk(mill: Mill, tmp_path: Path) -> FaultyDisk:
    """The disk of the embedded mill's processes."""
    faulty = FaultyDisk(tmp_path)
    mill.env |= faulty.environment
    return faulty


@pytest.mark.parametrize(
    ("step", "name"),
    [("fsync", "*.part"), ("rename", "answers-*"), ("fsync_folder", "b_*")],
    ids=["a part is fsynced", "an answer is owned", "an image is published"],
)
def test_s19_a_disk_that_fails_ends_the_process_before_the_next_call_is_paid_for(
    mill: Mill, disk: FaultyDisk, step: str, name: str
) -> None:
    """What was not owned is a doubt; what was is booked by the next start; nothing is fsynced a second time."""
    disk.fail(step, errno.EIO, name)
    run = mill.start_faulty(INSTALL, "run", mill.write(plain_rows(24, "delay 0.2")), in_flight=4)
    assert run.wait(60) == 1
    assert "disk failed" in run.said(), run.tail()
    assert "Input/output error" in run.said()
    called = len(mill.simulator.calls())
    assert 4 <= called <= 12  # those in flight, and those that were admitted ahead of them
    tried = Counter(one["path"] for one in disk.steps() if one["failed"])
    assert set(tried.values()) == {1}  # a second fsync after a failed one proves nothing
    disk.heal()
    mill.run("run", "last", expect=None, within_s=60)
    held = mill.states().get("held", 0)
    assert held == (0 if step == "fsync_folder" else called)
    assert mill.states() == {"succeeded": 24 - held} | ({"held": held} if held else {})
    assert len(mill.simulator.calls()) == 24
    mill.check()


def test_s19_a_worker_whose_disk_fails_ends_by_itself_and_says_so(grown_mill: Mill, tmp_path: Path) -> None:
    disk = FaultyDisk(tmp_path)
    grown_mill.env |= disk.environment
    disk.fail("fsync", errno.EIO, "*.part")
    worker = grown_mill.start_worker(faults=INSTALL, in_flight=4)
    grown_mill.submit(plain_rows(24, "delay 0.2"))
    assert worker.wait(60) == 1
    assert "start again" in worker.said(), worker.tail()
    assert 4 <= len(grown_mill.simulator.calls()) <= 12
    assert set(grown_mill.outcomes()) <= {"unknown", "not_sent"}
    grown_mill.check(at_rest=False)


def test_s18_answers_wait_in_the_spool_while_the_image_store_is_full(mill: Mill, disk: FaultyDisk) -> None:
    disk.fail("link", errno.ENOSPC)
    run = mill.start_faulty(INSTALL, "run", mill.write(plain_rows(12)))
    wait_until(lambda: len(disk.steps()) > 3, 30, run.tail)
    assert mill.outcomes() == {"None": len(mill.simulator.calls())}
    disk.heal()
    assert run.wait(60) == 0
    assert mill.states() == {"succeeded": 12}
    assert len(mill.simulator.calls()) == 12
    assert mill.spooled() == []
    mill.check()
