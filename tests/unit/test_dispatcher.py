"""The dispatcher: slots go round the batches, waits are kept to, and nothing makes it deaf."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from jobs.errors import LedgerAway
from jobs.ledger.admission import Admission, Admitted, Wait
from jobs.ledger.recovery import DueBatch
from worker import dispatcher as module
from worker.dispatcher import Dispatcher
from worker.slots import Slots

DONE = Wait("done", "nothing is queued")


def admitted(count: int) -> list[Admitted]:
    return [Admitted(f"a{n}", "b", n, str(n), 1, "m", 1, "{}", "k", 1, 0, 0) for n in range(count)]


class Bench:
    """A dispatcher over made-up batches; `asked` is every admission it asked for."""

    def __init__(self, batches: list[str], slots: int) -> None:
        self.batches = batches
        self.slots = Slots(slots)
        self.stopping = threading.Event()
        self.asked: list[tuple[str, int]] = []
        self.answer: Callable[[str, int], Admission] = lambda batch, most: Admission(admitted(most), None)
        self.in_flight: dict[str, int] = {}
        self.dispatcher = self.new(self.due)
        self._news = threading.Condition()

    def new(self, due: Callable[[], list[DueBatch]]) -> Dispatcher:
        return Dispatcher(due, lambda: self.in_flight, self._admit, self.slots, self.stopping)

    def due(self) -> list[DueBatch]:
        return [DueBatch(name, ("m",)) for name in self.batches]

    def _admit(self, batch: str, most: int) -> Admission:
        with self._news:
            self.asked.append((batch, most))
            self._news.notify_all()
        return self.answer(batch, most)

    def until_asked(self, times: int) -> list[tuple[str, int]]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.asked) >= times, 30)
            return list(self.asked)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.dispatcher.start()
        yield
        self.stopping.set()
        self.dispatcher.wake()
        self.dispatcher.join()


def test_c21_free_slots_are_divided_evenly_among_the_batches() -> None:
    bench = Bench(["large", "small", "other"], 9)
    with bench.running():
        asked = bench.until_asked(3)
    assert sorted(batch for batch, _ in asked[:3]) == ["large", "other", "small"]
    assert [most for _, most in asked[:3]] == [3, 3, 3]


def test_what_one_batch_leaves_goes_to_the_next() -> None:
    bench = Bench(["a", "b"], 4)
    bench.answer = lambda batch, most: Admission([], DONE)
    with bench.running():
        asked = bench.until_asked(2)
    assert [most for _, most in asked[:2]] == [2, 4]


def test_c21_another_batch_is_first_in_each_round() -> None:
    bench = Bench(["a", "b", "c"], 1)

    def take_and_end(batch: str, most: int) -> Admission:
        threading.Thread(target=bench.slots.end).start()
        return Admission(admitted(1), None)

    bench.answer = take_and_end
    with bench.running():
        asked = bench.until_asked(6)
    firsts = [batch for batch, _ in asked[:6]]
    assert {firsts.count(batch) for batch in "abc"} == {2}


def test_c21_a_free_slot_goes_to_the_batch_with_the_fewest_calls_in_flight() -> None:
    bench = Bench(["large", "small"], 3)
    bench.in_flight = {"large": 100, "small": 1}
    with bench.running():
        asked = bench.until_asked(1)
    assert asked[0] == ("small", 3)


def test_slots_that_the_batch_with_the_fewest_calls_cannot_use_go_to_the_others() -> None:
    bench = Bench(["large", "waiting"], 3)
    bench.in_flight = {"large": 100}

    def answer(batch: str, most: int) -> Admission:
        return Admission([], Wait("not_due", "later", 3_600_000)) if batch == "waiting" else Admission([], DONE)

    bench.answer = answer
    with bench.running():
        asked = bench.until_asked(2)
    assert asked[:2] == [("waiting", 3), ("large", 3)]


def test_c21_single_permits_go_to_the_batches_in_turn() -> None:
    """There are slots for all, and one permit at a time, as of a limit of so many a minute."""
    bench = Bench(["large", "small", "other"], 99)
    rate_limit = Wait("rate_limit", "rate limit on m", 1, "m")
    bench.answer = lambda batch, most: Admission(admitted(1), rate_limit)
    with bench.running():
        asked = bench.until_asked(7)
    assert [batch for batch, _ in asked[:7]] == ["large", "small", "other"] * 2 + ["large"]


def test_a_batch_that_comes_late_has_the_next_permit() -> None:
    bench = Bench(["large", "other"], 99)
    bench.answer = lambda batch, most: Admission(admitted(1), Wait("rate_limit", "rate limit on m", 1, "m"))
    with bench.running():
        bench.until_asked(5)
        bench.batches = ["large", "other", "late"]
        bench.dispatcher.wake()
        known = len(bench.until_asked(6))
        asked = bench.until_asked(known + 12)
    latest = [batch for batch, _ in asked]
    assert latest.index("late") - known < 12
    assert latest[latest.index("late") + 1] != "late"


def test_a_rate_limit_of_one_model_is_asked_about_once_a_round_and_does_not_hold_up_other_models() -> None:
    bench = Bench([], 8)
    due = [DueBatch("a", ("m",)), DueBatch("b", ("m",)), DueBatch("c", ("m", "n")), DueBatch("d", ())]
    bench.dispatcher = bench.new(lambda: due)
    bench.answer = lambda batch, most: Admission([], Wait("rate_limit", "rate limit on m", 3_600_000, "m"))
    with bench.running():
        asked = bench.until_asked(6)
    assert [batch for batch, _ in asked[:3]] == ["a", "c", "d"]
    assert "b" not in {batch for batch, _ in asked}


def test_slots_that_nobody_used_are_given_back() -> None:
    bench = Bench(["a"], 4)
    bench.answer = lambda batch, most: Admission(admitted(1), DONE)
    with bench.running():
        bench.until_asked(1)
    assert bench.slots.in_use == 1


def test_a_wait_is_over_when_the_first_batch_may_go_on() -> None:
    bench = Bench(["a", "b"], 4)
    waits = {"a": Wait("not_due", "later", 3_600_000), "b": Wait("rate_limit", "soon", 30)}
    bench.answer = lambda batch, most: Admission([], waits[batch])
    with bench.running():
        bench.until_asked(6)  # far within the hour of the other


def test_a_wake_up_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 3600.0)
    bench = Bench(["a"], 4)
    bench.answer = lambda batch, most: Admission([], DONE)
    with bench.running():
        bench.until_asked(1)
        bench.dispatcher.wake()
        bench.until_asked(2)


def test_a_new_batch_is_found_by_a_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 3600.0)
    bench = Bench([], 4)
    with bench.running():
        bench.batches = ["a"]
        bench.dispatcher.wake()
        assert bench.until_asked(1) == [("a", 4)]


def test_a_new_batch_is_found_without_any_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    bench = Bench([], 4)
    with bench.running():
        bench.batches = ["a"]
        bench.until_asked(1)


def test_a_batch_that_comes_while_no_slot_is_free_gets_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIST_EVERY_S", 0.0)
    bench = Bench(["large"], 1)
    bench.in_flight = {"large": 1}
    waiting = threading.Event()
    take = bench.slots.take

    def told(timeout_s: float) -> int:
        if bench.asked:
            waiting.set()
        return take(timeout_s)

    monkeypatch.setattr(bench.slots, "take", told)
    with bench.running():
        assert waiting.wait(30)
        bench.batches = ["large", "late"]
        bench.slots.give(1)
        assert bench.until_asked(2)[1] == ("late", 1)


@pytest.mark.parametrize("failure", [LedgerAway("away"), ValueError("a bug")])
def test_trouble_with_the_list_of_batches_does_not_end_it(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    bench = Bench(["a"], 4)
    failures = iter([failure, failure])

    def due() -> list[DueBatch]:
        if found := next(failures, None):
            raise found
        return bench.due()

    bench.dispatcher = bench.new(due)
    with bench.running():
        bench.until_asked(1)


def test_an_admission_that_fails_costs_no_slots_and_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    bench = Bench(["a"], 4)
    failures = iter([ValueError("a bug"), ValueError("a bug")])

    def answer(batch: str, most: int) -> Admission:
        if found := next(failures, None):
            raise found
        return Admission(admitted(most), DONE)

    bench.answer = answer
    with bench.running():
        asked = bench.until_asked(3)
    assert [most for _, most in asked[:3]] == [4, 4, 4]
    assert bench.slots.in_use == 4


def test_nothing_is_admitted_once_it_is_told_to_stop() -> None:
    bench = Bench(["a"], 4)
    bench.stopping.set()
    bench.dispatcher.start()
    bench.dispatcher.join()
    assert bench.asked == []
    assert bench.slots.in_use == 0
