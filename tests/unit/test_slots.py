"""Slots: never more than are allowed, none lost, a few ahead of the calls in flight when calls are quick."""

import threading
from concurrent.futures import ThreadPoolExecutor

from worker.slots import Slots


def test_all_free_slots_are_taken_at_once_and_no_more() -> None:
    slots = Slots(5)
    assert slots.take(0) == 5
    assert slots.take(0) == 0
    assert slots.in_use == 5


def test_slots_that_were_not_used_come_back() -> None:
    slots = Slots(5)
    slots.take(0)
    slots.give(3)
    assert slots.in_use == 2
    assert slots.take(0) == 3


def test_a_taker_waits_for_the_end_of_a_call() -> None:
    slots = Slots(1)
    slots.take(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slots.take, 30)
        slots.end()
        assert waiting.result(30) == 1


def test_whoever_waits_for_all_calls_is_told_when_the_last_one_ends() -> None:
    slots = Slots(2)
    slots.take(0)
    assert not slots.wait_all_free(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slots.wait_all_free, 30)
        slots.end()
        slots.end()
        assert waiting.result(30)


def test_with_slow_calls_nothing_is_admitted_ahead() -> None:
    slots = Slots(10)
    slots.take(0)
    for _ in range(10):
        slots.end()
    assert slots.allowed == 10


def test_with_quick_calls_a_quarter_of_a_second_is_admitted_ahead_at_most_half_of_those_in_flight() -> None:
    slots = Slots(10)
    for rate, ahead in ((0.0, 0), (3.0, 0), (8.0, 2), (16.0, 4), (1000.0, 5)):
        slots._rate = rate
        assert slots.allowed == 10 + ahead


def test_no_slot_is_lost_or_doubled_between_threads() -> None:
    slots = Slots(7)
    seen: list[int] = []

    def work() -> None:
        for _ in range(200):
            taken = slots.take(30)
            seen.append(slots.in_use)
            slots.give(taken // 2)
            for _ in range(taken - taken // 2):
                slots.end()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert slots.wait_all_free(0)
    assert max(seen) <= 7 + 3
