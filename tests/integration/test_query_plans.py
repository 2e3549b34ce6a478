"""What is asked often finds its rows by an index: the plans that SQLite makes for the statements as they are sent.

SQLite has no statistics here, as in use. It sees that a partial index has all the rows only from the words of the
statement or, for one word, from the value bound to it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from jobs.ledger import doubts, figures, gauges, health, listing, overview, recovery
from jobs.ledger.admission import read_admitted
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import (
    ask,
    at_once,
    book,
    live_worker,
    open_batch,
    refused,
    steady_worker,
    succeeded,
    throttled,
    unknown,
)

_WALKS = ("SCAN jobs", "SCAN attempts", "SCAN images", "SCAN charges")

Question = Callable[[Connection, str], Any]


@pytest.fixture
def batch(sqlite_ledger: Ledger) -> str:
    """With jobs in trouble, in doubt, running and queued."""
    batch = open_batch(sqlite_ledger, 8)
    one, two, *_ = ask(sqlite_ledger, batch, 4, live_worker(sqlite_ledger)).admitted
    book(sqlite_ledger, refused(one.attempt_id), unknown(two.attempt_id))
    return batch


@contextmanager
def plans(ledger: Ledger) -> Iterator[list[str]]:
    """The steps that SQLite plans for every statement that is sent meanwhile."""
    steps: list[str] = []

    def explain(_: object, cursor: Any, statement: str, given: Any, __: object, many: bool) -> None:
        if statement.startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            told = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", given[0] if many else given)
            steps.extend(row[3] for row in told)

    event.listen(ledger.engine, "before_cursor_execute", explain)
    try:
        yield steps
    finally:
        event.remove(ledger.engine, "before_cursor_execute", explain)


def walked(steps: Sequence[str]) -> list[str]:
    """Steps through all rows of a table that grows; the partial indexes have few of them."""
    return [step for step in steps if step.startswith(_WALKS) and " ix_" not in step]


ASKED: dict[str, tuple[Question, str]] = {
    "failures": (figures.causes, "ix_jobs_trouble"),
    "commonest causes": (overview.glimpse, "ix_jobs_trouble"),
    "doubts of a batch": (doubts.unknown_of, "ix_attempts_unknown"),
    "age of the oldest doubt": (lambda tx, _: doubts.oldest_unknown_s(tx), "ix_attempts_unknown"),
    "age of the oldest call": (lambda tx, _: list(gauges.read_gauges(tx)), "ix_attempts_open"),
    "rate of all batches": (lambda tx, _: overview.whole_ledger(tx), "ix_progress_minute"),
    "due jobs": (lambda tx, _: health.due_jobs(tx), "ix_jobs_due"),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_question_finds_its_rows_by_the_index_made_for_it(sqlite_ledger: Ledger, batch: str, name: str) -> None:
    question, index = ASKED[name]
    with plans(sqlite_ledger) as steps, sqlite_ledger.read() as tx:
        question(tx, batch)
    assert any(index in step for step in steps), steps


@pytest.mark.parametrize("name", ASKED)
def test_no_question_walks_through_all_jobs_or_attempts(sqlite_ledger: Ledger, batch: str, name: str) -> None:
    """But through a partial index, which has few of them, and the newest attempts, of which only some are read."""
    with plans(sqlite_ledger) as steps, sqlite_ledger.read() as tx:
        ASKED[name][0](tx, batch)
    assert walked(steps) in ([], ["SCAN attempts USING INDEX sqlite_autoindex_attempts_1"])


def test_what_runs_for_every_call_finds_each_row_by_its_key(sqlite_ledger: Ledger, batch: str) -> None:
    """Admission, settlement of every kind, a heartbeat, a sweep and a replay: else each call would cost more the
    more of them have ended."""
    with plans(sqlite_ledger) as steps:
        worker = live_worker(sqlite_ledger)
        one, two, three, four = (admitted.attempt_id for admitted in ask(sqlite_ledger, batch, 4, worker).admitted)
        endings = succeeded(one), throttled(two), unknown(three), refused(four)
        book(sqlite_ledger, *endings, retry=at_once)
        book(sqlite_ledger, *endings, succeeded(three))
        sqlite_ledger.write(recovery.beat, worker, in_flight=0)
        sqlite_ledger.write(recovery.release_unsent, worker, tuple, at_once)
        sqlite_ledger.write(recovery.sweep, steady_worker(sqlite_ledger), at_once)
        sqlite_ledger.write(recovery.close_spool, "w_DEAD", at_once, ())
        with sqlite_ledger.read() as tx:
            read_admitted(tx, [one, two])
            recovery.due_batches(tx)
    for table in ("jobs", "attempts"):
        assert any(step.startswith(f"SEARCH {table} USING") for step in steps)
    assert walked(steps) == []


@pytest.mark.parametrize("rows", [listing.list_jobs, listing.list_attempts])
def test_rows_are_listed_in_the_order_of_an_index(sqlite_ledger: Ledger, batch: str, rows: Any) -> None:
    """Sorted first, a million rows would wait in memory for the first of them to be shown."""
    with plans(sqlite_ledger) as steps, sqlite_ledger.read() as tx:
        assert len(list(rows(tx, batch, listing.Filter()))) > 0
    assert steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
