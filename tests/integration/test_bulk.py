"""Bulk: many rows arrive letter for letter and whole or not at all; what goes wrong is the ledger's own error."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
from sqlalchemy import Connection, select, text

from jobs.errors import Conflict, LedgerAway, LedgerError
from jobs.ledger import schema
from jobs.ledger.bulk import BulkRow, load_rows, open_for_loading
from jobs.ledger.durability import weaknesses
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import count, open_batch

COLUMNS = ("id", "tags")
AWKWARD = "\t\n\r\\\\N\\.\\t\x01\x0b\x1f\x7f\u0085\u2028'\"{}%s:name 红🦊"


@pytest.fixture
def postgres_ledger(postgres_ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(postgres_ledger_url)
    yield opened
    opened.close()


def insert(ledger: Ledger, rows: Sequence[BulkRow]) -> None:
    ledger.write(load_rows, schema.tag_sets, COLUMNS, rows)


def stored(ledger: Ledger) -> list[tuple[int, str]]:
    with ledger.read() as tx:
        return [tuple(row) for row in tx.execute(select(schema.tag_sets).order_by(schema.tag_sets.c.id))]  # type: ignore[misc]


def test_every_row_of_many_statements_arrives_letter_for_letter(ledger: Ledger) -> None:
    rows = [(number, f"{number} {AWKWARD}") for number in range(9_001)]
    insert(ledger, rows)
    assert stored(ledger) == rows


def test_the_smallest_and_the_largest_numbers_and_empty_text_arrive(ledger: Ledger) -> None:
    rows = [(-(2**63), ""), (0, "\\N"), (2**63 - 1, "\\.")]
    insert(ledger, rows)
    assert stored(ledger) == rows


def test_no_rows_are_no_work(ledger: Ledger) -> None:
    insert(ledger, [])
    assert stored(ledger) == []


def test_a_row_that_is_there_already_is_a_conflict_and_nothing_is_inserted(ledger: Ledger) -> None:
    insert(ledger, [(7, "first")])
    with pytest.raises(Conflict):
        insert(ledger, [(number, "second") for number in range(5_000)])
    assert stored(ledger) == [(7, "first")]


def test_a_row_that_breaks_a_rule_is_a_conflict_on_either_database(ledger: Ledger) -> None:
    columns = [column.name for column in schema.jobs.columns if not column.nullable and not column.server_default]
    row = tuple("strange" if schema.jobs.c[name].type.python_type is str else 1 for name in columns)
    with pytest.raises(Conflict):
        ledger.write(load_rows, schema.jobs, columns, [row])
    assert count(ledger, schema.jobs) == 0


def test_a_column_that_is_not_there_is_an_error_of_the_ledger(ledger: Ledger) -> None:
    with pytest.raises(LedgerError):
        ledger.write(load_rows, schema.tag_sets, ("id", "colour"), [(1, "red")])


def test_a_connection_that_is_cut_is_a_ledger_away_and_the_next_transaction_works(
    postgres_ledger: Ledger,
) -> None:
    def insert_after_a_cut(tx: Connection) -> None:
        pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with suppress(LedgerError):
            postgres_ledger.write(lambda other: other.execute(text(f"SELECT pg_terminate_backend({pid})")))
        load_rows(tx, schema.tag_sets, COLUMNS, [(1, "x")])

    with pytest.raises(LedgerAway):
        postgres_ledger.write(insert_after_a_cut)
    insert(postgres_ledger, [(2, "y")])
    assert stored(postgres_ledger) == [(2, "y")]


def test_a_ledger_opened_for_loading_writes_into_the_same_database(ledger: Ledger) -> None:
    own = open_for_loading(ledger)
    try:
        insert(own, [(1, "x")])
    finally:
        own.close()
    assert stored(ledger) == [(1, "x")]


def test_a_ledger_opened_for_loading_is_as_durable_as_any(ledger: Ledger) -> None:
    own = open_for_loading(ledger)
    try:
        assert weaknesses(own) == []
    finally:
        own.close()


def test_a_batch_of_many_rows_is_known_to_postgresql_when_it_opens(postgres_ledger: Ledger) -> None:
    """Else the check of each new attempt's foreign key may go through the whole batch, for minutes."""
    open_batch(postgres_ledger, 3)
    batch = open_batch(postgres_ledger, 3_000)
    with postgres_ledger.read() as tx:
        counted = tx.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'jobs'")).scalar_one()
        check = text("EXPLAIN SELECT 1 FROM jobs WHERE batch_id = :batch AND row = 7 FOR KEY SHARE")
        plan = " ".join(tx.execute(check, {"batch": batch}).scalars())
    assert counted == pytest.approx(3_003, rel=0.01)
    assert "pk_jobs" in plan
