"""Figures and listings: what people read equals a count of the rows, by every grouping, in constant memory."""

import itertools
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select

from jobs.ledger import clock, control, figures, limits, listing, overview, schema, waiting
from jobs.ledger.engine import Ledger
from jobs.ledger.figures import Group, Span, Standing
from jobs.ledger.limits import Lesson
from jobs.ledger.listing import Filter
from tests.integration.ledgers import (
    CEILING,
    ENDPOINT,
    MODEL,
    PRICE,
    admit_one,
    ask,
    batch_row,
    book,
    change,
    errored,
    image_lost,
    job_row,
    let_lease_run_out,
    live_worker,
    make_due,
    new_job,
    open_batch,
    refused,
    succeeded,
    throttled,
    unknown,
)

OUTCOMES = (succeeded, refused, unknown, image_lost, errored, succeeded, throttled)


def busy_batch(ledger: Ledger, rows: int = 14) -> str:
    """Two models, two tags, every kind of money, jobs in many states."""
    jobs = [
        new_job(
            row,
            model="dall-e-3" if row % 2 else MODEL,
            tags={"season": ("winter", "spring")[row % 2]} if row > 3 else {},
        )
        for row in range(1, rows + 1)
    ]
    batch = open_batch(ledger, jobs)
    for number, one in enumerate(ask(ledger, batch, rows - 2).admitted):
        ending = OUTCOMES[number % len(OUTCOMES)](one.attempt_id)
        book(ledger, ending)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id, nano=None))
    return batch


def read(ledger: Ledger, act: Callable[..., Any], *args: Any) -> Any:
    with ledger.read() as tx:
        return act(tx, *args)


def standing(ledger: Ledger, batch: str) -> Standing:
    found: Standing = read(ledger, figures.standing, batch)
    return found


def groups(ledger: Ledger, by: str, **span: str) -> list[Group]:
    found: list[Group] = read(ledger, figures.report_groups, by, Span(**span))
    return found


def counted(ledger: Ledger, key: Callable[[Any], str]) -> list[Group]:
    """The same report, counted from the attempts themselves."""
    statement = (
        select(schema.attempts, schema.tag_sets.c.tags)
        .join_from(
            schema.attempts,
            schema.jobs,
            (schema.jobs.c.batch_id == schema.attempts.c.batch_id) & (schema.jobs.c.row == schema.attempts.c.row),
        )
        .join(schema.tag_sets, schema.tag_sets.c.id == schema.jobs.c.tag_set)
        .where(schema.attempts.c.outcome.is_not(None))
    )
    with ledger.read() as tx:
        pictures = Counter(tx.execute(select(schema.images.c.attempt_id)).scalars())
        rows = tx.execute(statement).all()
    found: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        numbers = (1, pictures[row.id], row.charged_nano or 0, row.possible_nano, int(row.priced_by == "none"))
        found[key(row)] = [kept + number for kept, number in zip(found[key(row)], numbers, strict=True)]
    return [Group(name, *found[name]) for name in sorted(found)]


KEYS: dict[str, Callable[[Any], str]] = {
    "day": lambda row: clock.utc_day(row.ended_at),
    "model": lambda row: str(row.model),
    "batch": lambda row: str(row.batch_id),
    "outcome": lambda row: str(row.outcome),
    "tag:season": lambda row: (
        "winter" if "winter" in row.tags else "spring" if "spring" in row.tags else "untagged"
    ),
}


@pytest.mark.parametrize("by", KEYS)
def test_a_report_equals_a_count_of_the_attempts(ledger: Ledger, by: str) -> None:
    busy_batch(ledger)
    busy_batch(ledger)
    found = groups(ledger, by)
    assert found == counted(ledger, KEYS[by])
    totals = read(ledger, figures.totals, Span())
    for name in ("attempts", "images", "charged_nano", "possible_nano", "unpriced"):
        assert sum(getattr(group, name) for group in found) == getattr(totals, name)


def test_a_report_by_meter_equals_a_count_of_the_charges(ledger: Ledger) -> None:
    busy_batch(ledger)
    with ledger.read() as tx:
        charges = tx.execute(select(schema.charges)).all()
    (group,) = groups(ledger, "meter")
    assert (group.key, group.attempts, group.quantity) == ("image", len(charges), len(charges))
    assert group.charged_nano == sum(charge.amount_nano or 0 for charge in charges)
    assert group.unpriced == sum(charge.amount_nano is None for charge in charges) == 1


def test_a_report_covers_the_days_and_the_batch_it_is_asked_for(ledger: Ledger) -> None:
    first, second = busy_batch(ledger), busy_batch(ledger)
    (today,) = (group.key for group in groups(ledger, "day"))
    assert [group.key for group in groups(ledger, "batch", batch_id=second)] == [second]
    assert [group.key for group in groups(ledger, "batch", since=today)] == sorted([first, second])
    assert groups(ledger, "batch", until=today) == []
    assert groups(ledger, "meter", until=today) == []
    assert groups(ledger, "tag:season", since="9999-01-01") == []


def test_a_doubt_resolved_leaves_the_day_and_the_outcome_it_stood_under(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    one = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(one))
    yesterday = 24 * 3600 * 1000
    change(ledger, schema.attempts, ended_at=schema.attempts.c.ended_at - yesterday)
    with ledger.read() as tx:
        day = clock.utc_day(tx.execute(select(schema.attempts.c.ended_at)).scalar_one())
    for table in (schema.attempt_tallies, schema.tag_tallies):
        change(ledger, table, day=day)
    assert [group.key for group in groups(ledger, "day")] == [day]
    book(ledger, succeeded(one))
    assert [(group.key, group.charged_nano) for group in groups(ledger, "outcome")] == [("succeeded", PRICE)]
    assert [group.key for group in groups(ledger, "day")] != [day]


def test_tallies_that_an_older_version_kept_by_tag_go_on_counting(ledger: Ledger) -> None:
    """The totals are recounted when the test ends."""
    batch = open_batch(ledger, [new_job(1, tags={"season": "winter"}), new_job(2, tags={"season": "spring"})])
    doubt = admit_one(ledger, batch).attempt_id
    book(ledger, unknown(doubt))
    change(ledger, schema.attempt_tallies, tag_set=job_row(ledger, batch).tag_set)
    ledger.write(lambda tx: tx.execute(delete(schema.tag_tallies)))
    for by in ("outcome", "tag:season"):
        assert groups(ledger, by) == counted(ledger, KEYS[by])
    book(ledger, succeeded(doubt), succeeded(admit_one(ledger, batch).attempt_id))
    for by in ("outcome", "tag:season"):
        assert groups(ledger, by) == counted(ledger, KEYS[by])
    assert len(groups(ledger, "tag:season")) == 2


def test_a_standing_equals_a_count_of_the_rows(ledger: Ledger) -> None:
    batch = busy_batch(ledger)
    admit_one(ledger, batch)
    stands = standing(ledger, batch)
    with ledger.read() as tx:
        jobs = Counter(tx.execute(select(schema.jobs.c.state)).scalars())
        attempts = tx.execute(select(schema.attempts)).all()
        images = len(tx.execute(select(schema.images)).all())
    assert {state: number for state, number in stands.jobs.items() if number} == jobs
    assert stands.attempts == Counter(attempt.outcome or "open" for attempt in attempts)
    assert stands.images == images
    assert stands.confirmed_nano == sum(attempt.charged_nano or 0 for attempt in attempts)
    assert stands.possible_nano == sum(attempt.possible_nano for attempt in attempts)
    assert stands.reserved_nano == CEILING
    assert stands.unpriced_attempts == 1
    assert (stands.total_jobs, stands.ended_jobs) == (14, 14 - jobs["queued"] - jobs["running"])


def test_all_batches_together_stand_as_their_sums(ledger: Ledger) -> None:
    stands = [standing(ledger, busy_batch(ledger)) for _ in range(2)]
    whole = read(ledger, overview.whole_ledger)
    for name in ("images", "confirmed_nano", "possible_nano", "reserved_nano", "unpriced_attempts"):
        assert getattr(whole, name) == sum(getattr(one, name) for one in stands)
    assert whole.jobs == {state: sum(one.jobs[state] for one in stands) for state in stands[0].jobs}
    lines = read(ledger, overview.list_standing)
    assert {line.batch for line in lines} == {one.batch for one in stands}


def waiting_for(ledger: Ledger, batch: str) -> str:
    return str(standing(ledger, batch).waiting_for)


def test_a_standing_says_what_the_batch_waits_for(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    assert waiting_for(ledger, batch) == "no worker is running"
    worker = live_worker(ledger)
    assert standing(ledger, batch).waiting_for is None
    book(
        ledger,
        *(errored(one.attempt_id) for one in ask(ledger, batch, 2, worker).admitted),
        retry=lambda *_: 40_000,
    )
    assert waiting_for(ledger, batch).startswith("retry due in ")
    ledger.write(limits.learn, ENDPOINT, [Lesson(MODEL, 1, 0, throttled=True, retry_after_s=30.0)], 0.0)
    assert waiting_for(ledger, batch).startswith("rate limit, next slot in ")
    let_lease_run_out(ledger, worker)
    assert waiting_for(ledger, batch) == "no worker is running"
    ledger.write(limits.pause_endpoint, ENDPOINT, MODEL, "permission_denied", "verify first")
    assert waiting_for(ledger, batch) == f"endpoint paused for {MODEL}: permission_denied: verify first"
    ledger.write(control.pause, batch, "budget")
    assert waiting_for(ledger, batch) == "paused: budget"
    ledger.write(control.cancel, batch)
    assert standing(ledger, batch).waiting_for is None


def test_a_worker_is_missed_only_where_something_could_go_on(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    assert read(ledger, overview.whole_ledger).waiting_for == "no worker is running"
    ledger.write(control.pause, batch, "operator")
    assert read(ledger, overview.whole_ledger).waiting_for is None


def test_a_batch_is_stopped_by_its_endpoint_when_every_queued_model_is(ledger: Ledger) -> None:
    batch = open_batch(ledger, [new_job(1, model="a"), new_job(2, model="b")])

    def stopped() -> str | None:
        found = read(ledger, waiting.stopped_by_endpoint, batch, ENDPOINT)
        return found and found.message

    assert stopped() is None
    ledger.write(limits.pause_endpoint, ENDPOINT, "a", "permission_denied", "a is closed")
    assert stopped() is None
    ledger.write(limits.pause_endpoint, "http://127.0.0.1:10/v1", "b", "permission_denied", "elsewhere")
    assert stopped() is None
    ledger.write(limits.pause_endpoint, ENDPOINT, "b", "permission_denied", "b is closed")
    assert stopped() == "a is closed"
    ledger.write(limits.pause_endpoint, ENDPOINT, None, "billing", "no money")
    assert stopped() == "no money"


def test_rates_count_the_jobs_that_ended_and_the_time_left_follows(ledger: Ledger) -> None:
    batch = open_batch(ledger, 30)
    assert (standing(ledger, batch).rate_per_s, standing(ledger, batch).eta_s) == (None, None)
    table = schema.batches
    change(ledger, table, table.c.id == batch, opened_at=table.c.opened_at - 10_000)
    book(ledger, *(succeeded(one.attempt_id) for one in ask(ledger, batch, 25).admitted))
    stands = standing(ledger, batch)
    assert stands.rate_per_s == pytest.approx(25 / 10, rel=0.3)
    assert stands.eta_s == pytest.approx(5 / (stands.rate_per_s or 1), rel=0.3)
    book(ledger, *(succeeded(one.attempt_id) for one in ask(ledger, batch, 5).admitted))
    done = standing(ledger, batch)
    assert (done.rate_per_s, done.eta_s) == (None, 0.0)
    assert done.mean_rate_per_s == pytest.approx(30 / 10, rel=0.3)


def test_causes_are_grouped_with_the_commonest_first(ledger: Ledger) -> None:
    batch = open_batch(ledger, 4)
    one, two, three, _ = ask(ledger, batch, 4).admitted
    book(ledger, refused(two.attempt_id), refused(three.attempt_id), unknown(one.attempt_id))
    causes = read(ledger, figures.causes, batch)
    assert [(cause.state, cause.error_kind, cause.jobs, cause.row, cause.possible_nano) for cause in causes] == [
        ("refused", "moderation_blocked", 2, 2, 0),
        ("held", "read_timeout", 1, 1, CEILING),
    ]
    assert read(ledger, figures.job_message, batch, 2) == ("row-2", None)


def test_a_batch_is_found_by_its_id_its_beginning_or_as_the_last(ledger: Ledger) -> None:
    first = open_batch(ledger, id="b_7Q2MX001")
    second = open_batch(ledger, id="b_7Q2MY002")
    table = schema.batches
    change(ledger, table, table.c.id == first, created_at=table.c.created_at - 10_000)
    assert read(ledger, figures.match_batch, "last") == [second]
    assert read(ledger, figures.match_batch, first) == [first]
    assert read(ledger, figures.match_batch, "7Q2MX") == [first]
    assert sorted(read(ledger, figures.match_batch, "b_7Q")) == [first, second]
    for nothing in ("b_9", "b_7_2M", "%", "b_%", first + "X"):
        assert read(ledger, figures.match_batch, nothing) == []


def test_live_workers_are_those_with_a_fresh_heartbeat(ledger: Ledger) -> None:
    dead, _ = live_worker(ledger), live_worker(ledger)
    let_lease_run_out(ledger, dead)
    assert read(ledger, waiting.live_workers) == 1


def listed(ledger: Ledger, act: Callable[..., Any], *args: Any) -> list[dict[str, Any]]:
    with ledger.read() as tx:
        return list(act(tx, *args))


def test_jobs_are_listed_in_manifest_order_with_the_promised_fields(ledger: Ledger) -> None:
    batch = busy_batch(ledger)
    rows = listed(ledger, listing.list_jobs, batch, Filter())
    assert [row["row"] for row in rows] == list(range(1, 15))
    promised = "batch row custom_id state model attempts images charged_nanodollars possible_nanodollars"
    assert {*promised.split(), "error_kind", "error_message", "tags"} <= rows[0].keys()
    assert rows[3]["tags"] == {"season": "winter"}
    stands = standing(ledger, batch)
    assert sum(row["charged_nanodollars"] for row in rows) == stands.confirmed_nano
    assert sum(row["possible_nanodollars"] for row in rows) == stands.possible_nano


def test_attempts_are_listed_with_the_promised_fields_and_times(ledger: Ledger) -> None:
    batch = busy_batch(ledger)
    rows = listed(ledger, listing.list_attempts, batch, Filter())
    promised = (
        "id batch row custom_id number worker admitted_at ended_at outcome http_status request_id usage"
        " ceiling_nanodollars charged_nanodollars possible_nanodollars priced_by"
    )
    assert set(promised.split()) <= rows[0].keys()
    assert len(rows) == sum(standing(ledger, batch).attempts.values())
    assert all(row["admitted_at"] <= row["ended_at"] and row["ended_at"].endswith("Z") for row in rows)
    unpriced = [row for row in rows if row["priced_by"] == "none"]
    assert [row["charged_nanodollars"] for row in unpriced] == [None]


def test_images_are_listed_where_they_are(ledger: Ledger) -> None:
    batch = busy_batch(ledger)
    rows = listed(ledger, listing.list_images, batch, Filter(), lambda name: f"/store/{name}")
    assert len(rows) == standing(ledger, batch).images
    promised = "batch row custom_id index path sha256 bytes format width height revised_prompt"
    assert set(promised.split()) <= rows[0].keys()
    assert all(row["path"].startswith("/store/") for row in rows)


def test_lists_are_narrowed_by_state_model_cause_and_number(ledger: Ledger) -> None:
    batch = busy_batch(ledger)
    everything = listed(ledger, listing.list_jobs, batch, Filter())
    for wanted, key, value in (
        (Filter(state="held"), "state", "held"),
        (Filter(model="dall-e-3"), "model", "dall-e-3"),
        (Filter(error_kind="moderation_blocked"), "error_kind", "moderation_blocked"),
    ):
        rows = listed(ledger, listing.list_jobs, batch, wanted)
        assert rows == [row for row in everything if row[key] == value] != []
    assert listed(ledger, listing.list_jobs, batch, Filter(limit=3)) == everything[:3]
    make_due(ledger, batch)
    admit_one(ledger, batch)
    assert [row["outcome"] for row in listed(ledger, listing.list_attempts, batch, Filter(state="open"))] == [None]
    refusals = listed(ledger, listing.list_attempts, batch, Filter(state="refused"))
    assert {row["outcome"] for row in refusals} == {"refused"}


def test_a_long_list_streams_in_memory_that_does_not_grow_with_it(ledger: Ledger) -> None:
    request = '{"prompt":"' + "x" * 2_000 + '"}'
    batch = open_batch(ledger, [new_job(row, request=request) for row in range(1, 12_001)])

    def peak_bytes(rows: int) -> int:
        with ledger.read() as tx:
            tracemalloc.start()
            assert sum(1 for _ in itertools.islice(listing.list_jobs(tx, batch, Filter()), rows)) == rows
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    peak_bytes(10)  # imports and caches
    assert peak_bytes(12_000) < 2 * peak_bytes(4_000)


def test_the_last_result_and_the_usual_duration_are_glimpsed(ledger: Ledger) -> None:
    batch = busy_batch(ledger)
    change(ledger, schema.attempts, schema.attempts.c.outcome == "succeeded", duration_ms=4_000)
    glimpse = read(ledger, overview.glimpse, batch)
    assert (glimpse.last_outcome, glimpse.median_s, glimpse.slow_s) == ("succeeded", 4.0, 4.0)
    assert dict(glimpse.causes).keys() <= {"moderation_blocked", "read_timeout", "empty"}
    assert read(ledger, overview.glimpse, open_batch(ledger)).last_custom_id is None


def test_the_last_result_of_a_batch_is_found_behind_those_of_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = open_batch(ledger, 3)
    first, second, _ = ask(ledger, batch, 3).admitted
    book(ledger, succeeded(first.attempt_id))
    book(ledger, refused(second.attempt_id))
    book(ledger, succeeded(admit_one(ledger, open_batch(ledger)).attempt_id))
    seen = read(ledger, overview.glimpse, batch)
    assert (seen.last_custom_id, seen.last_outcome) == ("row-2", "refused")
    monkeypatch.setattr(overview, "_LOOK_BACK", 1)
    assert read(ledger, overview.glimpse, batch) == seen


def test_jobs_come_with_their_pictures(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_PAGE", 5)
    batch = busy_batch(ledger)

    def pictured(tx: Connection, most: int) -> list[Any]:
        return list(overview.pictured_jobs(tx, batch, most))

    shown = read(ledger, pictured, 100)
    assert [job.row for job in shown] == list(range(1, 15))
    assert sum(len(job.pictures) for job in shown) == standing(ledger, batch).images
    assert shown[0].prompt == "a fox, number 1"
    assert [job.row for job in read(ledger, pictured, 7)] == list(range(1, 8))
    assert batch_row(ledger, batch).jobs == 14
