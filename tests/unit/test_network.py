"""The network thread, with an endpoint that only notes who was called."""

import queue
from dataclasses import dataclass, field
from typing import Any

import pytest

from jobs.states import Outcome
from worker import network
from worker.calls import Answer, Call, Pause
from worker.network import Network
from worker.wire import boot_clock_s


@dataclass
class Far:
    """Answers at once; the calls named in `pausing` with account trouble."""

    pausing: frozenset[str] = frozenset()
    called: list[str] = field(default_factory=list)

    async def call(self, call: Call, send_by_s: float) -> Answer:
        self.called.append(call.attempt_id)
        if call.attempt_id in self.pausing:
            return Answer(call.attempt_id, Outcome.REJECTED, pause=Pause(None, "billing", "no money left"))
        return Answer(call.attempt_id, Outcome.SUCCEEDED)

    async def close(self) -> None:
        pass


def make_call(name: str) -> Call:
    return Call(name, f"key-{name}", b"{}", "gpt-image-2", 1, False)


def answers(far: Far, names: list[str], admitted_at_s: float) -> dict[str, Answer]:
    got: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    endpoint: Any = far
    loop = Network(lambda: endpoint, got.put, in_flight=1)
    loop.start()
    try:
        loop.send([make_call(name) for name in names], admitted_at_s)
        return {answer.attempt_id: answer for answer in (got.get(timeout=10) for _ in names)}
    finally:
        loop.close()


def test_calls_that_wait_their_turn_are_made_one_after_another() -> None:
    far = Far()
    assert answers(far, ["a", "b", "c"], boot_clock_s()).keys() == {"a", "b", "c"}
    assert far.called == ["a", "b", "c"]


def test_after_account_trouble_nothing_that_waits_is_sent() -> None:
    far = Far(pausing=frozenset({"b"}))
    ended = answers(far, ["a", "b", "c", "d"], boot_clock_s())
    assert far.called == ["a", "b"]
    assert [ended[name].outcome for name in "cd"] == [Outcome.NOT_SENT, Outcome.NOT_SENT]


def test_a_call_admitted_too_long_ago_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far()
    ended = answers(far, ["a"], boot_clock_s() - network.SEND_WITHIN_S - 1)
    assert far.called == []
    assert ended["a"].error_kind == "sent_too_late"
