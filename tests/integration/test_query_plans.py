"""What is asked often finds its rows by an index: the plans that SQLite makes for the statements as they are sent.

SQLite has no statistics here, as in use. It sees that a partial index has all the rows only from the words of the
statement or, for one word, from the value bound to it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from jobs.ledger import doubts, figures, gauges, health, listing, overview
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import ask, book, live_worker, open_batch, refused, unknown

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

    def explain(_: object, cursor: Any, statement: str, given: Any, *_more: object) -> None:
        if statement.startswith("SELECT"):
            told = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            steps.extend(row[3] for row in told)

    event.listen(ledger.engine, "before_cursor_execute", explain)
    try:
        yield steps
    finally:
        event.remove(ledger.engine, "before_cursor_execute", explain)


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
    walked = [step for step in steps if step.startswith(("SCAN jobs", "SCAN attempts")) and " ix_" not in step]
    assert walked in ([], ["SCAN attempts USING INDEX sqlite_autoindex_attempts_1"])


@pytest.mark.parametrize("rows", [listing.list_jobs, listing.list_attempts])
def test_rows_are_listed_in_the_order_of_an_index(sqlite_ledger: Ledger, batch: str, rows: Any) -> None:
    """Sorted first, a million rows would wait in memory for the first of them to be shown."""
    with plans(sqlite_ledger) as steps, sqlite_ledger.read() as tx:
        assert len(list(rows(tx, batch, listing.Filter()))) > 0
    assert steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
