"""The ledger's gauges: what they say after known things happened, and the text that Prometheus reads."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from jobs.ledger import clock, schema
from jobs.ledger.engine import Ledger
from jobs.ledger.gauges import read_gauges
from tests.integration.commands import Commands, fill
from tests.integration.ledgers import CEILING, PRICE, admit_one, book, change, open_batch, succeeded

MINUTE_MS = 60_000

Values = dict[tuple[str, ...], float]


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def gauges(ledger: Ledger) -> dict[str, Values]:
    with ledger.read() as tx:
        return {gauge.name.removeprefix("imagemill_"): gauge.values for gauge in read_gauges(tx)}


def test_an_empty_ledger_reads_as_nothing(ledger: Ledger) -> None:
    found = gauges(ledger)
    assert set(found["jobs"].values()) == {0}
    assert set(found["oldest_job_age_seconds"].values()) == {0}
    assert (found["unknown_attempts"], found["unpriced_charges"]) == ({(): 0}, {(): 0})


def test_jobs_doubts_and_what_has_no_price_are_counted(ledger: Ledger) -> None:
    batch = fill(ledger)
    book(ledger, succeeded(admit_one(ledger, open_batch(ledger)).attempt_id, nano=None))
    found = gauges(ledger)
    assert found["jobs"] == {
        ("queued",): 1, ("running",): 0, ("succeeded",): 3, ("failed",): 2, ("refused",): 1, ("held",): 1,
        ("cancelled",): 0,
    }  # fmt: skip
    assert found["unknown_attempts"] == {(): 1}
    assert found["unpriced_charges"] == {(): 1}
    money = found["budget_dollars"]
    assert money["batches", "confirmed"] == pytest.approx(3 * PRICE / 1e9)
    assert money["batches", "possible"] == pytest.approx(2 * CEILING / 1e9)
    assert not [labels for labels in money if batch in labels[0]]


def test_the_age_of_what_waits_runs_and_is_held(ledger: Ledger) -> None:
    batch = fill(ledger)
    admit_one(ledger, open_batch(ledger))
    change(
        ledger, schema.batches, schema.batches.c.id == batch, opened_at=schema.batches.c.opened_at - 9 * MINUTE_MS
    )
    table = schema.attempts
    change(ledger, table, table.c.outcome.is_(None), admitted_at=table.c.admitted_at - 5 * MINUTE_MS)
    change(ledger, table, table.c.outcome == "unknown", ended_at=table.c.ended_at - 7 * MINUTE_MS)
    ages = gauges(ledger)["oldest_job_age_seconds"]
    assert {state: round(age / 60) for (state,), age in ages.items()} == {"queued": 9, "running": 5, "held": 7}
    change(ledger, table, table.c.outcome == "unknown", ended_at=table.c.ended_at + 7 * MINUTE_MS)


def test_named_budgets_of_today_are_shown_under_names_that_do_not_change_with_the_day(ledger: Ledger) -> None:
    with ledger.read() as tx:
        today = clock.utc_day(clock.now(tx))
    rows = [("overall", ""), ("day", today), ("day", "2020-01-01"), ("month", today[:7]), ("tag", "brand=acme")]
    sums = {"confirmed_nano": 2_000_000_000, "possible_nano": 0, "reserved_nano": 500_000_000}
    caps = [{"scope": scope, "key": key, "cap_nano": 10_000_000_000, **sums} for scope, key in rows]
    with ledger.engine.connect() as connection, connection.begin() as undone:
        connection.execute(insert(schema.budgets), caps)
        (money,) = [one.values for one in read_gauges(connection) if one.name == "imagemill_budget_dollars"]
        undone.rollback()
    names = {name for name, kind in money if kind == "limit"}
    assert names == {"overall", "day", "month", "tag brand=acme"}
    assert (money["day", "limit"], money["day", "confirmed"], money["day", "reserved"]) == (10, 2, 0.5)


def test_the_command_prints_what_prometheus_reads(mill: Commands, sqlite_ledger: Ledger) -> None:
    fill(sqlite_ledger)
    done = mill("metrics")
    families = {family.name: family for family in text_string_to_metric_families(done.out)}
    assert {family.type for family in families.values()} == {"gauge"}
    jobs = {sample.labels["state"]: sample.value for sample in families["imagemill_jobs"].samples}
    assert (jobs["succeeded"], jobs["held"]) == (2, 1)
    assert done.err == ""
