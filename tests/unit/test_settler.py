"""The settler: one bad answer holds up nobody, a ledger that is away is waited for, its thread never ends early."""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import LedgerAway, LedgerError
from jobs.ledger.settlement import Settled
from jobs.states import Outcome
from worker import settler as module
from worker.calls import Answer, ReceivedImage
from worker.settler import Settler
from worker.spool import Group

IMAGE = ReceivedImage(0, "a-0.part", "ab" * 32, 10, "png", 1, 1)


class FakeSpool:
    """Owns everything, except while `broken` is set."""

    folder = Path("spool")

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.owned: list[list[str]] = []
        self.released: list[list[str]] = []

    def own(self, answers: Sequence[Answer]) -> Group:
        if self.broken:
            raise self.broken
        self.owned.append([answer.attempt_id for answer in answers])
        return Group(Path("answers.json"), tuple(answers))

    def release(self, group: Group) -> None:
        if group.path:
            self.released.append([answer.attempt_id for answer in group.answers])


class FakeBooking:
    """Books all that `refuse` lets through."""

    def __init__(self, refuse: Callable[[Sequence[Answer]], None]) -> None:
        self._refuse = refuse
        self.booked: list[Answer] = []
        self.groups: list[int] = []

    def book(self, answers: Sequence[Answer], admitted: Mapping[str, Any], parts: Path) -> Settled:
        self._refuse(answers)
        self.booked += answers
        self.groups.append(len(answers))
        queued_again = sum(answer.outcome is Outcome.THROTTLED for answer in answers)
        return Settled(len(answers), len(answers) - queued_again, ())


class Bench:
    """A settler between fakes."""

    def __init__(self, refuse: Callable[[Sequence[Answer]], None] = lambda answers: None) -> None:
        self.spool = FakeSpool()
        self.booking = FakeBooking(refuse)
        self.told: list[tuple[list[str], bool]] = []
        self.disk_said: list[str] = []
        self.settler = Settler(
            self.spool,  # type: ignore[arg-type]
            self.booking,  # type: ignore[arg-type]
            {},
            self._on_booked,
            self.disk_said.append,
        )

    def _on_booked(self, answers: Sequence[Answer], queued_again: bool) -> None:
        self.told.append(([answer.attempt_id for answer in answers], queued_again))

    @property
    def booked(self) -> list[str]:
        return [answer.attempt_id for answer in self.booking.booked]

    def run(self, *answers: Answer, patience_s: float = 30.0) -> bool:
        for answer in answers:
            self.settler.put(answer)
        self.settler.start()
        return self.settler.close(patience_s)


@pytest.fixture(autouse=True)
def _no_thread_may_die() -> Iterator[None]:
    died: list[Any] = []
    before, threading.excepthook = threading.excepthook, died.append
    yield
    threading.excepthook = before
    assert died == []


def answer(attempt_id: str, outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> Answer:
    images = (IMAGE,) if outcome is Outcome.SUCCEEDED else ()
    return Answer(attempt_id, outcome, **{"images": images, **fields})


def test_a_whole_group_that_is_there_is_booked_without_waiting_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PER_GROUP", 2)
    monkeypatch.setattr(module, "_GATHER_S", 3600.0)
    bench = Bench()
    assert bench.run(*map(answer, "abcd"), patience_s=10.0)
    assert bench.booking.groups == [2, 2]


def test_what_came_in_is_booked_as_one_group_and_then_released() -> None:
    bench = Bench()
    assert bench.run(*map(answer, "abc"))
    assert bench.booking.groups == [3]
    assert bench.told == [(["a", "b", "c"], False)]
    assert bench.spool.owned == bench.spool.released == [["a", "b", "c"]]


def test_a_group_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PER_GROUP", 2)
    bench = Bench()
    assert bench.run(*map(answer, "abcde"))
    assert bench.booking.groups == [2, 2, 1]


def test_a_job_that_goes_back_to_the_queue_is_told() -> None:
    bench = Bench()
    bench.run(answer("a"), answer("b", Outcome.THROTTLED))
    assert bench.told == [(["a", "b"], True)]


@pytest.mark.parametrize("failure", [LedgerError("refused"), ValueError("a bug")])
def test_an_answer_that_cannot_be_booked_does_not_hold_up_its_group(failure: Exception) -> None:
    def refuse(answers: Sequence[Answer]) -> None:
        if any(one.attempt_id == "bad" for one in answers):
            raise failure

    bench = Bench(refuse)
    assert bench.run(answer("a"), answer("bad"), answer("b"))
    assert bench.booked == ["a", "b"]
    assert [ids for ids, _ in bench.told] == [["a"], ["b"]]
    assert bench.spool.released == []  # the bad one is still needed by a replay


def test_answers_after_a_bad_one_are_booked_and_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PER_GROUP", 1)

    def refuse(answers: Sequence[Answer]) -> None:
        if answers[0].attempt_id == "bad":
            raise ValueError("a bug")

    bench = Bench(refuse)
    assert bench.run(answer("bad"), answer("a"))
    assert bench.booked == ["a"]
    assert bench.spool.released == [["a"]]


def test_a_ledger_that_is_away_is_waited_for() -> None:
    failures = iter(range(4))

    def refuse(answers: Sequence[Answer]) -> None:
        if next(failures, None) is not None:
            raise LedgerAway("the database does not answer")

    bench = Bench(refuse)
    assert bench.run(answer("a"), answer("b"))
    assert sorted(bench.booked) == ["a", "b"]
    assert bench.spool.released == [["a", "b"]]


def test_patience_with_a_ledger_that_stays_away_ends_and_the_spool_keeps_the_answers() -> None:
    def refuse(answers: Sequence[Answer]) -> None:
        raise LedgerAway("the database does not answer")

    bench = Bench(refuse)
    bench.run(answer("a"), patience_s=0.2)
    assert bench.booked == []
    assert bench.spool.owned == [["a"]]
    assert bench.spool.released == []


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 0),
        (OSError(errno.EIO, "Input/output error"), 1),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1),
        (RuntimeError("no threads"), 0),
    ],
)
def test_a_paid_answer_that_the_spool_cannot_keep_is_in_doubt_at_once(broken: Exception, failed: int) -> None:
    bench = Bench()
    bench.spool.broken = broken
    bench.run(answer("paid", usage={"total_tokens": 1}), answer("free", Outcome.REFUSED))
    paid, free = bench.booking.booked
    assert (paid.outcome, paid.error_kind) == (Outcome.UNKNOWN, "answer_not_kept")
    assert (paid.images, paid.usage) == ((), None)
    assert str(broken) in (paid.error_message or "")
    assert free.outcome is Outcome.REFUSED
    assert bench.spool.released == []
    assert bench.disk_said == [str(broken)] * failed


def test_a_store_that_is_full_is_waited_for() -> None:
    failures = iter(range(4))

    def refuse(answers: Sequence[Answer]) -> None:
        if next(failures, None) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")

    bench = Bench(refuse)
    assert bench.run(answer("a"), answer("b"))
    assert sorted(bench.booked) == ["a", "b"]
    assert (bench.disk_said, bench.spool.released) == ([], [["a", "b"]])


def test_a_store_that_fails_is_not_asked_a_second_time_and_the_spool_keeps_the_answers() -> None:
    """After a failed fsync the next one may succeed although nothing was written."""
    asked: list[int] = []

    def refuse(answers: Sequence[Answer]) -> None:
        if any(one.images for one in answers):
            asked.append(len(answers))
            raise OSError(errno.EIO, "Input/output error")

    bench = Bench(refuse)
    bench.run(answer("a"), answer("b"), answer("free", Outcome.THROTTLED))
    assert (asked, len(bench.disk_said)) == ([3], 1)
    assert bench.booked == ["free"]  # it has nothing to publish, and the spool would not tell a replay of it
    assert (bench.spool.owned, bench.spool.released) == ([["a", "b", "free"]], [])


def test_a_release_that_fails_ends_nothing() -> None:
    bench = Bench()

    def fail(group: Group) -> None:
        raise OSError("read-only file system")

    bench.spool.release = fail  # type: ignore[method-assign]
    assert bench.run(answer("a"))
    assert bench.booked == ["a"]


def test_closing_without_answers_ends_at_once() -> None:
    bench = Bench()
    started = time.monotonic()
    assert bench.run()
    assert time.monotonic() - started < 25  # not the patience
