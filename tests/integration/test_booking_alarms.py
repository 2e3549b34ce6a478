"""What booking tells people: an answer that overrules a resolution, and what it stopped by itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import select

from jobs.ledger import control, schema
from jobs.ledger.acts import Act, list_acts
from jobs.ledger.engine import Ledger
from jobs.ledger.resolving import resolve_named
from jobs.states import Outcome
from jobs.storage import LocalStore
from tests.integration.ledgers import ENDPOINT, attempt_row, batch_row, book, change, job_row, money, unknown
from tests.integration.mills import BOOK
from tests.integration.test_booking import COST, Desk, desk
from worker import booking
from worker.booking import Booking
from worker.calls import Pause

__all__ = ["desk"]  # the fixture of the other file


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The events that booking logs."""
    events: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(booking, "tell", lambda event, **fields: events.append((event, fields)))
    return events


@pytest.mark.parametrize("billed", [None, 700])
def test_an_answer_that_turns_up_after_a_resolution_is_kept_charged_and_sounds_an_alarm(
    desk: Desk, told: list[tuple[str, dict[str, Any]]], billed: int | None
) -> None:
    """A process that was stopped goes on after all, or its spool comes back with its disk."""
    one = desk.attempts[0]
    book(desk.ledger, unknown(one))
    table = schema.attempts
    change(desk.ledger, table, table.c.id == one, deadline_at=table.c.deadline_at - 3_600_000)
    desk.ledger.write(resolve_named, {one: billed}, Act("ana", "resolve", evidence="invoice"), again=False)
    assert job_row(desk.ledger, desk.batch).state == "failed"
    assert desk.book(desk.answer()) == 1
    assert told == [("resolution_overruled", {"attempts": [one]})]
    assert job_row(desk.ledger, desk.batch).state == "succeeded"
    assert money(desk.ledger, desk.batch)[0] == COST
    with desk.ledger.read() as tx:
        assert tx.execute(select(schema.images.c.surplus)).scalars().all() == [False]
    assert desk.book(desk.answer()) == 0
    assert len(told) == 1


def test_what_a_worker_stops_by_itself_is_written_down_once_with_its_name(
    ledger: Ledger, desk: Desk, tmp_path: Path
) -> None:
    by_w7 = replace(desk, booking=Booking(ledger, LocalStore(tmp_path / "store"), BOOK, ENDPOINT, "w_7"))
    trouble = Pause(None, "insufficient_quota", "no money left")
    for number in range(2):
        by_w7.book(by_w7.error(Outcome.REJECTED, number, pause=trouble, error_kind="insufficient_quota"))
    by_w7.book(by_w7.answer(2, usage={"input_tokens": -1}))
    with ledger.read() as tx:
        acts = list(list_acts(tx))
    assert {(act["who"], act["verb"]) for act in acts} == {("w_7", "pause")}
    assert [act["batch"] for act in acts] == [desk.batch, None]
    assert acts[1]["what"] == {"of": "endpoint", "model": None, "reason": "insufficient_quota"}
    assert acts[0]["what"]["reason"].startswith("row-3: ")


def test_a_price_alarm_and_its_charge_are_booked_together_or_not_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may die between any two transactions: the charge would be booked, and the batch would go on."""
    absurd = desk.answer(usage={"input_tokens": -1})
    with monkeypatch.context() as planted, pytest.raises(MemoryError):
        planted.setattr(control, "pause", Mock(side_effect=MemoryError))
        desk.book(absurd)
    assert attempt_row(desk.ledger, desk.attempts[0]).outcome is None
    assert desk.book(absurd) == 1
    assert batch_row(desk.ledger, desk.batch).state == "paused"


def test_a_batch_resumed_after_a_price_alarm_is_not_stopped_by_the_same_answer_again(
    desk: Desk, told: list[tuple[str, dict[str, Any]]]
) -> None:
    desk.book(desk.answer(usage={"input_tokens": -1}))
    desk.ledger.write(control.resume, desk.batch)
    assert desk.book(desk.answer(usage={"input_tokens": -1})) == 0
    assert batch_row(desk.ledger, desk.batch).state == "open"
    assert [event for event, _ in told] == ["batch_paused"]
