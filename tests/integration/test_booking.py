"""Booking: images published, answers priced, limits learned, trouble stopped; and every step safe to repeat."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from jobs.catalogue.prices import PriceBook
from jobs.ledger import limits, schema
from jobs.ledger.admission import Admitted, read_admitted
from jobs.ledger.alarms import settle_and_stop
from jobs.ledger.engine import Ledger
from jobs.states import Outcome
from jobs.storage import LocalStore, StoreError
from tests.integration.ledgers import (
    ENDPOINT,
    ask,
    attempt_row,
    batch_row,
    change,
    job_row,
    money,
    new_job,
    open_batch,
)
from tests.integration.mills import BOOK
from worker.booking import Booking
from worker.calls import Answer, Pause, RateFacts, ReceivedImage

CEILING = 20_000_000
REQUEST = '{"model":"gpt-image-1","prompt":"a fox","quality":"low","size":"1024x1024"}'
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    "output_tokens": 272,
    "total_tokens": 282,
}
COST = 10 * 5_000 + 272 * 40_000
"""Nano-dollars of that usage: $5 and $40 a million tokens."""


@dataclass
class Desk:
    """A booking over an empty store, and a batch with attempts under way."""

    booking: Booking
    ledger: Ledger
    parts: Path
    store: Path
    batch: str
    admitted: dict[str, Admitted]

    @property
    def attempts(self) -> list[str]:
        return list(self.admitted)

    def received(self, name: str = "x.part", index: int = 0) -> ReceivedImage:
        data = f"picture {name}".encode()
        (self.parts / name).write_bytes(data)
        return ReceivedImage(index, name, sha256(data).hexdigest(), len(data), "png", 8, 8)

    def answer(self, number: int = 0, **fields: Any) -> Answer:
        attempt = self.attempts[number]
        values = {
            "outcome": Outcome.SUCCEEDED,
            "http_status": 200,
            "images": (self.received(f"{attempt}-0.part"),),
            "usage": USAGE,
        }
        return Answer(attempt, **{**values, **fields})

    def error(self, outcome: Outcome, number: int = 0, **fields: Any) -> Answer:
        return Answer(self.attempts[number], outcome, **{"retryable": True, **fields})

    def book(self, *answers: Answer) -> int:
        return self.booking.book(answers, self.admitted, self.parts).attempts

    def limits(self) -> Any:
        with self.ledger.read() as tx:
            return tx.execute(select(schema.rate_limits)).one()


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path) -> Desk:
    parts, store = tmp_path / "spool", tmp_path / "store"
    parts.mkdir()
    batch = open_batch(ledger, [new_job(row, request=REQUEST, ceiling_nano=CEILING) for row in range(1, 4)])
    admitted = {one.attempt_id: one for one in ask(ledger, batch, 3).admitted}
    return Desk(Booking(ledger, LocalStore(store), BOOK, ENDPOINT), ledger, parts, store, batch, admitted)


def test_an_image_is_published_under_a_name_that_tells_where_it_belongs(desk: Desk) -> None:
    desk.book(desk.answer())
    (path,) = [path for path in desk.store.rglob("*") if path.is_file()]
    assert str(path.relative_to(desk.store)) == f"{desk.batch}/1_row-1_{desk.attempts[0]}_0.png"
    with desk.ledger.read() as tx:
        row = tx.execute(select(schema.images)).one()
    assert row.path == str(path.relative_to(desk.store))
    assert row.sha256 == sha256(path.read_bytes()).hexdigest()


def test_an_answer_is_charged_by_its_usage(desk: Desk) -> None:
    desk.book(desk.answer())
    attempt = attempt_row(desk.ledger, desk.attempts[0])
    assert (attempt.charged_nano, attempt.priced_by) == (COST, "usage")
    assert (attempt.text_in, attempt.image_out, attempt.price_book) == (10, 272, BOOK.version)
    assert money(desk.ledger, desk.batch) == (COST, 0, 2 * CEILING)


def test_an_answer_costs_what_it_did_on_the_day_of_its_call_however_late_it_is_booked(desk: Desk) -> None:
    """A price that changed between the call and the replay of its answer."""
    first = desk.attempts[0]
    days_before = 3 * 24 * 3600 * 1000
    change(desk.ledger, schema.attempts, admitted_at=schema.attempts.c.admitted_at - days_before)
    with desk.ledger.read() as tx:
        admitted = read_admitted(tx, [first])
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    row = {"model": "gpt-image-1", "meter": "image_output", "unit": "1M tokens", "usd": "80"}
    dearer = PriceBook.build(json.dumps({"rows": [row | {"effective_from": yesterday.isoformat()}]}).encode())
    Booking(desk.ledger, LocalStore(desk.store), dearer, ENDPOINT).book([desk.answer()], admitted, desk.parts)
    assert attempt_row(desk.ledger, first).charged_nano == COST
    Booking(desk.ledger, LocalStore(desk.store), dearer, ENDPOINT).book([desk.answer(1)], desk.admitted, desk.parts)
    assert attempt_row(desk.ledger, desk.attempts[1]).charged_nano == COST + 272 * 40_000


def test_an_answer_without_usage_is_charged_by_the_table_and_marked(desk: Desk) -> None:
    desk.book(desk.answer(usage=None))
    attempt = attempt_row(desk.ledger, desk.attempts[0])
    assert attempt.priced_by == "table"
    assert 0 < attempt.charged_nano <= CEILING


def test_the_table_price_follows_the_size_and_quality_that_were_answered(desk: Desk) -> None:
    desk.book(desk.answer(usage=None), desk.answer(1, usage=None, facts={"quality": "high"}))
    low, high = (attempt_row(desk.ledger, attempt).charged_nano for attempt in desk.attempts[:2])
    assert high > 5 * low


@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.ERRORED, Outcome.REFUSED, Outcome.NOT_SENT])
def test_what_is_not_billed_costs_nothing(desk: Desk, outcome: Outcome) -> None:
    desk.book(desk.error(outcome))
    assert attempt_row(desk.ledger, desk.attempts[0]).charged_nano is None
    assert money(desk.ledger, desk.batch) == (0, 0, 2 * CEILING)


def test_a_refusal_with_usage_is_charged(desk: Desk) -> None:
    usage = {"input_tokens": 10, "output_tokens": 0, "total_tokens": 10}
    desk.book(desk.error(Outcome.REFUSED, usage=usage))
    assert attempt_row(desk.ledger, desk.attempts[0]).charged_nano == 50_000


def test_booking_again_after_a_crash_changes_nothing(desk: Desk) -> None:
    answer = desk.answer()
    assert desk.book(answer) == 1
    assert desk.book(answer) == 0
    assert money(desk.ledger, desk.batch) == (COST, 0, 2 * CEILING)
    assert len([path for path in desk.store.rglob("*") if path.is_file()]) == 1


def test_an_image_whose_part_is_gone_is_not_booked(desk: Desk) -> None:
    answer = desk.answer()
    (desk.parts / answer.images[0].part).unlink()
    with pytest.raises(StoreError):
        desk.book(answer)
    assert attempt_row(desk.ledger, desk.attempts[0]).outcome is None


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -5, "output_tokens": 272, "total_tokens": 267},
        {"input_tokens": 10, "output_tokens": 10**9, "total_tokens": 10**9 + 10},
    ],
    ids=["negative", "absurd"],
)
def test_usage_that_cannot_be_trusted_posts_the_ceiling_and_stops_the_batch(
    desk: Desk, usage: dict[str, int]
) -> None:
    desk.book(desk.answer(usage=usage))
    assert attempt_row(desk.ledger, desk.attempts[0]).charged_nano == CEILING
    batch = batch_row(desk.ledger, desk.batch)
    assert batch.state == "paused"
    assert batch.pause_reason.startswith("row-1: ")


def test_a_cost_above_its_ceiling_is_posted_in_full_and_stops_the_batch(desk: Desk) -> None:
    desk.book(desk.answer(usage=USAGE | {"output_tokens": 2_000, "total_tokens": 2_010}))
    assert attempt_row(desk.ledger, desk.attempts[0]).charged_nano == 50_000 + 2_000 * 40_000
    batch = batch_row(desk.ledger, desk.batch)
    assert (batch.state, "reserved were 20000000" in batch.pause_reason) == ("paused", True)


def test_a_rate_limit_answer_holds_the_whole_fleet_back(desk: Desk) -> None:
    desk.book(desk.error(Outcome.THROTTLED, rate=RateFacts(retry_after_s=30.0)))
    assert ask(desk.ledger, desk.batch).admitted == []
    due = job_row(desk.ledger, desk.batch).due_at - attempt_row(desk.ledger, desk.attempts[0]).ended_at
    assert 30_000 <= due <= 33_000
    assert desk.limits().blocked_until > 0


def test_limits_that_headers_name_are_learned_once(desk: Desk) -> None:
    rate = RateFacts(limit_requests=100, limit_images=50, limit_tokens=70_000)
    desk.book(desk.answer(rate=rate))
    row = desk.limits()
    assert (row.requests_per_min, row.images_per_min, row.tokens_per_min) == (100, 50, 70_000)
    assert desk.booking._lesson(desk.answer(1, rate=rate), desk.admitted[desk.attempts[1]]) is None
    assert desk.booking._lesson(desk.answer(1, rate=replace(rate, limit_images=5)), desk.admitted[desk.attempts[1]])


def test_what_a_late_answer_says_of_an_empty_bucket_holds_nobody_up(desk: Desk) -> None:
    """It was empty when the call came in; where bursts are forbidden it always is."""
    rate = RateFacts(limit_images=60, remaining_images=0, reset_images_s=40.0)
    desk.book(desk.answer(rate=rate), desk.error(Outcome.ERRORED, 1))
    assert desk.limits().images_full_us == 0


def test_a_429_to_a_call_from_before_the_pace_was_slowed_does_not_slow_it_again(desk: Desk) -> None:
    told = RateFacts(retry_after_s=0.0)
    more = open_batch(desk.ledger, [new_job(row, request=REQUEST, ceiling_nano=CEILING) for row in range(1, 3)])
    desk.admitted.update({one.attempt_id: one for one in ask(desk.ledger, more, 2).admitted})
    desk.book(*(desk.error(Outcome.THROTTLED, row, rate=told) for row in range(3)))
    once = desk.limits()
    assert once.ceiling_per_min
    desk.book(desk.error(Outcome.THROTTLED, 3, rate=told), desk.error(Outcome.THROTTLED, 4, rate=told))
    assert (desk.limits().ceiling_per_min, desk.limits().strikes) == (once.ceiling_per_min, 1)


def test_a_429_now_and_then_slows_nothing(desk: Desk) -> None:
    told = RateFacts(retry_after_s=0.0)
    desk.book(*(desk.error(Outcome.THROTTLED, row, rate=told) for row in range(2)))
    assert (desk.limits().ceiling_per_min, desk.limits().strikes) == (None, 0)


def test_answers_that_say_nothing_new_write_no_limits(desk: Desk) -> None:
    before = desk.limits()
    desk.book(desk.answer())
    assert desk.limits() == before


def test_account_trouble_pauses_the_endpoint_before_its_job_is_queued_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees the job queued must see the pause as well."""
    seen: list[bool] = []
    write = desk.ledger.write

    def watched(act: Any, *args: Any, **kwargs: Any) -> Any:
        if act is settle_and_stop:
            with desk.ledger.read() as tx:
                seen.append(bool(limits.list_pauses(tx, ENDPOINT)))
        return write(act, *args, **kwargs)

    monkeypatch.setattr(desk.ledger, "write", watched)
    trouble = Pause(None, "insufficient_quota", "You exceeded your current quota.")
    desk.book(desk.error(Outcome.REJECTED, pause=trouble, error_kind="insufficient_quota"))
    assert seen == [True]
    assert job_row(desk.ledger, desk.batch).state == "queued"


def test_what_a_replay_reads_of_an_attempt_is_what_was_admitted(desk: Desk) -> None:
    with desk.ledger.read() as tx:
        found = read_admitted(tx, [*desk.attempts, "a_nobody"])
    assert found == desk.admitted
