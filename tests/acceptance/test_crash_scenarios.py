"""What becomes of answers whose process is killed on their way into the books, on both pairs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import aging
from tests.crash.boundaries import OWNED, ROWS, all_in_doubt
from tests.crash.fixtures import crash_lab
from tests.crash.pairs import EMBEDDED, GROWN_UP, Lab
from tests.crash.play import Play
from tests.crash.stops import Way
from tests.crash.verdict import calls_of, judge

__all__ = ["crash_lab"]


@pytest.fixture(params=[EMBEDDED, GROWN_UP], ids=lambda pair: pair.name)
def play(request: pytest.FixtureRequest, crash_lab: Lab) -> Iterator[Play]:
    """A site without a batch yet."""
    crash_lab.prepare(request.param)
    with crash_lab.site(request.param) as site, Play(site) as started:
        yield started


def killed_at(play: Play, place: str) -> None:
    stop = play.stop(place, Way.KILL_AFTER)
    play.see_out(play.work_off(stop), stop)
    assert play.complaints == []


def images(play: Play) -> dict[Path, int]:
    """Published files, and which file each is."""
    return {path: path.stat().st_ino for path in play.site.data.glob("images/**/*.*")}


@pytest.mark.parametrize("place", ["k9", "k10"])
def test_s3_killed_after_the_answer_before_it_is_owned_leaves_a_priced_doubt(play: Play, place: str) -> None:
    killed_at(play, place)
    play.recover()
    assert play.complaints + judge(play.site, all_in_doubt(1)) == []
    ledger = play.site.books.snapshot()
    (possible,) = [one["possible_nano"] for one in ledger.budgets if one["scope"] == "batch"]
    assert possible == sum(one["ceiling_nano"] for one in ledger.attempts) > 0
    assert images(play) == {}


@pytest.mark.parametrize("place", ["k11", "k12"])
@pytest.mark.parametrize("swept", [False, True], ids=["before-the-sweep", "after-the-sweep"])
def test_s4_killed_after_owned_before_commit_is_settled_without_a_call(play: Play, place: str, swept: bool) -> None:
    killed_at(play, place)
    if swept:
        aging.sweep(play.site.ledger_url)
        assert play.site.books.number("SELECT count(*) FROM jobs WHERE state = 'held'") == ROWS
    play.recover()
    assert play.complaints + judge(play.site, OWNED) == []
    assert len(calls_of(play.site)) == ROWS


@pytest.mark.parametrize("index", range(4))
def test_s5_killed_between_publish_and_commit_adopts_the_files(play: Play, index: int) -> None:
    killed_at(play, f"k12-image-{index}")
    published = images(play)
    assert sum("_four_" in path.name for path in published) == index + 1
    play.recover()
    assert play.complaints + judge(play.site, OWNED) == []
    assert published.items() <= images(play).items()
