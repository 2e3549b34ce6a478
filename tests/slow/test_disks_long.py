"""Small disks that are full, for real: a tmpfs of 8 MiB under the spool, the images or the ledger. Needs root."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.mill import Mill
from tests.acceptance.rows import plain_rows
from tests.acceptance.waiting import wait_until

IMAGE_BYTES = 150_000


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], Path]]:
    """Mounts them for the time of the test."""
    with ExitStack() as mounted:
        yield lambda folder: mounted.enter_context(_tmpfs(folder))


@contextmanager
def _tmpfs(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "imagemill-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def mill(new_mill: Callable[..., Mill]) -> Mill:
    mill = new_mill(in_flight=4)
    mill.simulator.configure(image_bytes=IMAGE_BYTES)
    return mill


def fill(disk: Path, left_bytes: int) -> Path:
    """Somebody else's file, that leaves so much."""
    ballast = disk / "ballast"
    free_bytes = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(b"\0" * (free_bytes - left_bytes))
    return ballast


@pytest.mark.parametrize("where", ["spool", "images", "."])
def test_s18_no_call_is_made_that_a_disk_has_no_room_for_and_work_goes_on_by_itself(
    mill: Mill, small_disk: Callable[[Path], Path], where: str
) -> None:
    """`.` is the ledger's disk, with spool and images on others."""
    disk = small_disk(mill.data / where)
    if where == ".":
        small_disk(mill.data / "spool")
        small_disk(mill.data / "images")
    mill.run("run", mill.write(plain_rows(8)))
    ballast = fill(disk, 300_000)
    run = mill.start("run", mill.write(plain_rows(16), "more.jsonl"))
    wait_until(lambda: "disk_full" in run.said(), 60, run.tail)
    assert len(mill.simulator.calls()) == 8
    ballast.unlink()
    assert run.wait(60) == 0
    assert mill.outcomes() == {"succeeded": 24}
    mill.check()


def test_s18_a_store_that_fills_up_stops_admission_in_time_and_is_enlarged_under_way(
    mill: Mill, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(mill.images)
    mill.simulator.configure(image_bytes=2 * IMAGE_BYTES)
    run = mill.start("run", mill.write(plain_rows(60)))
    wait_until(lambda: "disk_full" in run.said(), 60, run.tail)
    assert set(mill.outcomes()) == {"succeeded"}
    assert 10 <= len(mill.simulator.calls()) < 28
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    assert run.wait(60) == 0
    assert mill.outcomes() == {"succeeded": 60}
    mill.check()


def test_s18_answers_wait_in_the_spool_while_the_ledger_s_disk_is_full(
    mill: Mill, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(mill.data)
    small_disk(mill.data / "spool")
    run = mill.start("run", mill.write(plain_rows(4, "delay 2")), storage_url=mill.home / "images")
    wait_until(lambda: mill.calls_in_flight() > 0, 30, run.tail)
    begun = mill.calls_in_flight()
    ballast = fill(disk, 0)
    wait_until(lambda: "settlement_failed" in run.said(), 30, run.tail)
    assert mill.outcomes() == {"None": begun}
    ballast.unlink()
    assert run.wait(60) == 0
    assert mill.outcomes() == {"succeeded": 4}
    assert mill.books.ask("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert mill.spooled() == []
