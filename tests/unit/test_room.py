"""Room for the answers in flight: by the largest image so far, on the fullest of the disks."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from jobs.ledger.admission import Admitted
from jobs.states import Outcome
from worker import room as module
from worker.calls import Answer, ReceivedImage
from worker.room import Room

MB = 1 << 20
SPOOL, IMAGES = Path("spool"), Path("images")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """Free bytes of each disk; tests change them."""
    disks = {SPOOL: 1 << 40, IMAGES: 1 << 40}
    monkeypatch.setattr(module, "_free_bytes", disks.__getitem__)
    return disks


def room(largest_bytes: int = 0) -> Room:
    opened = Room([SPOOL, IMAGES])
    image = ReceivedImage(0, "a-0.part", "ab" * 32, largest_bytes, "png", 1, 1)
    opened.learn(Answer("a", Outcome.SUCCEEDED, images=(image,) if largest_bytes else ()))
    return opened


def in_flight(*images: int) -> list[Admitted]:
    return [Admitted("a", "b", 1, "c", 1, "m", n, "{}", "k", 0, 0, 0) for n in images]


def test_until_an_image_came_each_is_taken_for_a_large_one(free: dict[Path, int]) -> None:
    free[SPOOL] = 9 * MB
    assert room().calls([]) == 2


def test_the_largest_image_so_far_and_a_half_is_expected_of_the_next(free: dict[Path, int]) -> None:
    free[SPOOL] = 9 * MB
    opened = room(2 * MB)
    opened.learn(Answer("small", Outcome.UNKNOWN))
    assert opened.calls([]) == 3


def test_what_is_in_flight_has_its_room_already_and_the_next_may_ask_for_as_many_images(
    free: dict[Path, int],
) -> None:
    free[SPOOL] = 30 * MB
    assert room(2 * MB).calls(in_flight(1, 3)) == (30 - 4 * 3) // 9


def test_the_fullest_disk_decides(free: dict[Path, int]) -> None:
    free[IMAGES] = 3 * MB
    assert room(2 * MB).calls([]) == 1
    free[IMAGES] = -1
    assert room(2 * MB).calls([]) == 0


def test_a_full_disk_is_told_once_and_so_is_its_end(free: dict[Path, int]) -> None:
    opened = room()
    free[IMAGES] = MB
    with capture_logs() as said:
        for _ in range(3):
            assert opened.calls([]) == 0
        free[IMAGES] = 100 * MB
        assert opened.calls([]) == opened.calls([]) == 25
    assert [one["event"] for one in said] == ["disk_full", "disk_has_room"]
    assert said[0]["folder"] == "images"


def test_a_disk_is_not_filled_to_its_last_byte(tmp_path: Path) -> None:
    free_bytes = module._free_bytes(tmp_path / "not" / "there" / "yet")
    assert 0 < free_bytes < module.os.statvfs(tmp_path).f_bavail * module.os.statvfs(tmp_path).f_frsize
