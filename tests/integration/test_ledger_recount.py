"""The recount: every kept total that is wrong is named, and a right ledger is passed."""

from typing import Any

import pytest
from sqlalchemy import select

from jobs.ledger import intake, recount, schema
from jobs.ledger.budgets import Scope, set_cap
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import (
    ask,
    book,
    change,
    image_lost,
    new_batch,
    new_job,
    open_batch,
    refused,
    succeeded,
    unknown,
)


def differences(ledger: Ledger) -> list[str]:
    with ledger.read() as tx:
        return recount.differences(tx)


def used_ledger(ledger: Ledger) -> None:
    """Two batches in which everything that is totalled occurs."""
    for _ in range(2):
        batch = open_batch(ledger, [new_job(row, tags={"n": str(row % 2)}) for row in range(1, 8)])
        one, two, three, four, five, _open = ask(ledger, batch, 6).admitted
        book(ledger, succeeded(one.attempt_id), refused(two.attempt_id), unknown(three.attempt_id))
        book(ledger, image_lost(four.attempt_id), succeeded(five.attempt_id, nano=None))


WRONG: list[tuple[Any, str, str]] = [
    (schema.job_tallies, "jobs", "jobs b_"),
    (schema.batches, "jobs", "jobs of batch b_"),
    (schema.budgets, "confirmed_nano", "budget batch b_"),
    (schema.budgets, "possible_nano", "budget batch b_"),
    (schema.budgets, "reserved_nano", "budget batch b_"),
    (schema.attempt_tallies, "attempts", "attempts b_"),
    (schema.attempt_tallies, "images", "attempts b_"),
    (schema.attempt_tallies, "charged_nano", "attempts b_"),
    (schema.attempt_tallies, "possible_nano", "attempts b_"),
    (schema.attempt_tallies, "unpriced", "attempts b_"),
    (schema.tag_tallies, "attempts", "attempts by tag b_"),
    (schema.tag_tallies, "images", "attempts by tag b_"),
    (schema.tag_tallies, "charged_nano", "attempts by tag b_"),
    (schema.tag_tallies, "possible_nano", "attempts by tag b_"),
    (schema.tag_tallies, "unpriced", "attempts by tag b_"),
    (schema.charge_tallies, "charges", "charges b_"),
    (schema.charge_tallies, "quantity", "charges b_"),
    (schema.charge_tallies, "amount_nano", "charges b_"),
    (schema.charge_tallies, "unpriced", "charges b_"),
    (schema.jobs, "charged_nano", "job b_"),
    (schema.jobs, "possible_nano", "job b_"),
    (schema.jobs, "attempts", "job b_"),
    (schema.jobs, "images", "job b_"),
]


@pytest.mark.parametrize(("table", "column", "named"), WRONG, ids=lambda value: getattr(value, "name", value))
def test_a_wrong_total_is_named(ledger: Ledger, table: Any, column: str, named: str) -> None:
    used_ledger(ledger)
    assert differences(ledger) == []
    change(ledger, table, **{column: table.c[column] + 1})
    found = differences(ledger)
    assert found
    assert all(line.startswith(named) and "kept" in line and "counted" in line for line in found)
    change(ledger, table, **{column: table.c[column] - 1})


@pytest.mark.parametrize("column", ["confirmed_nano", "possible_nano", "reserved_nano"])
def test_a_wrong_sum_of_a_shared_budget_is_named(ledger: Ledger, column: str) -> None:
    used_ledger(ledger)
    scopes = (Scope.OVERALL, ""), (Scope.MONTH, ""), (Scope.DAY, ""), (Scope.TAG, "n=1")
    for scope, key in scopes:
        ledger.write(set_cap, scope, key, 10**9)
    assert differences(ledger) == []
    table = schema.budgets
    for scope, _ in scopes:
        change(ledger, table, table.c.scope == scope, **{column: table.c[column] + 1})
    found = differences(ledger)
    named = sorted(line.split()[1] for line in found)
    assert named == ["day", "day", "month", "month", "overall", "tag"]  # each with what holds the cap of every one
    for scope, _ in scopes:
        change(ledger, table, table.c.scope == scope, **{column: table.c[column] - 1})


@pytest.mark.parametrize("table", [schema.attempt_tallies, schema.tag_tallies], ids=lambda table: str(table.name))
def test_a_total_under_a_wrong_day_is_named(ledger: Ledger, table: Any) -> None:
    used_ledger(ledger)
    with ledger.read() as tx:
        (today,) = set(tx.execute(select(table.c.day)).scalars())
    change(ledger, table, day="1999-12-31")
    assert any("1999-12-31" in line for line in differences(ledger))
    change(ledger, table, day=today)


def test_a_total_of_nothing_is_no_difference(ledger: Ledger) -> None:
    row = {"batch_id": "b_gone", "model": "m", "state": "queued", "jobs": 0}
    ledger.write(lambda tx: tx.execute(schema.job_tallies.insert().values(**row)))
    assert differences(ledger) == []


def test_rows_of_a_batch_that_is_still_loading_are_no_difference(ledger: Ledger) -> None:
    batch = new_batch()
    ledger.write(intake.begin_batch, batch)
    ledger.write(intake.stage_jobs, batch.id, [new_job(1)])
    assert differences(ledger) == []
