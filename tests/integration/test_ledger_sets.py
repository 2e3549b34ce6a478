"""Many rows by one statement: the same on both engines, whatever their values, and always found by key."""

from typing import Any

import pytest
from sqlalchemy import Connection, Text, event, select, text, update

from jobs.errors import Conflict
from jobs.ledger import schema, settlement
from jobs.ledger.engine import Ledger, find_by_key
from jobs.ledger.sets import EachRow, among, insert_rows, types_of
from tests.integration.ledgers import job_row, open_batch, states

ODD_TEXTS = ('quote "', "back\\slash", "a\nb\tc", "Ünïcode 漢字 🦊", "{}", "null", "", "\u2028")
LARGEST = 2**63 - 1


def attempt(number: int, batch_id: str, **changes: Any) -> dict[str, Any]:
    values = {"id": f"a_{number}", "batch_id": batch_id, "row": number, "number": 1, "worker_id": "w_1"}
    moments = {"admitted_at": 0, "deadline_at": 0}
    return {**values, "endpoint": "e", "model": "m", **moments, "ceiling_nano": 0, **changes}


def remove_attempts(ledger: Ledger) -> None:
    """The totals of these tests are not kept, and are compared at their end."""
    ledger.write(lambda tx: tx.execute(schema.attempts.delete()))


def test_rows_arrive_with_exactly_their_values(ledger: Ledger) -> None:
    batch = open_batch(ledger, len(ODD_TEXTS))
    rows = [
        attempt(number, batch, model=words, error_message=words or None, deadline_at=LARGEST - number)
        for number, words in enumerate(ODD_TEXTS, 1)
    ]
    ledger.write(insert_rows, schema.attempts, rows)
    with ledger.read() as tx:
        columns = [schema.attempts.c[name] for name in rows[0]]
        found = [dict(row._mapping) for row in tx.execute(select(*columns).order_by(schema.attempts.c.row))]
    assert found == rows
    remove_attempts(ledger)


@pytest.mark.parametrize("surplus", [True, False])
def test_truth_stays_truth(ledger: Ledger, surplus: bool) -> None:
    batch = open_batch(ledger)
    ledger.write(insert_rows, schema.attempts, [attempt(1, batch)])
    picture = {"attempt_id": "a_1", "index": 0, "batch_id": batch, "row": 1, "path": "p", "sha256": "s", "bytes": 1}
    more = {"format": "png", "width": None, "height": None, "revised_prompt": None, "stored_at": 1}
    ledger.write(insert_rows, schema.images, [{**picture, **more, "surplus": surplus}])
    with ledger.read() as tx:
        assert tx.execute(select(schema.images.c.surplus)).scalar_one() is surplus
    ledger.write(lambda tx: tx.execute(schema.images.delete()))
    remove_attempts(ledger)


def test_nothing_is_written_for_no_rows(ledger: Ledger) -> None:
    ledger.write(insert_rows, schema.attempts, [])
    ledger.write(_pause_with_reasons().run, [])


def test_rows_that_are_there_already_are_a_conflict(ledger: Ledger) -> None:
    batch = open_batch(ledger)
    with pytest.raises(Conflict):
        ledger.write(insert_rows, schema.attempts, [attempt(1, batch), attempt(1, batch)])


def _pause_with_reasons() -> EachRow:
    values = {"batch": Text(), **types_of(schema.batches, "pause_reason")}
    return EachRow(
        values,
        lambda given: (
            update(schema.batches)
            .where(schema.batches.c.id == given["batch"])
            .values(pause_reason=given["pause_reason"])
        ),
    )


def test_each_row_changes_what_it_names_and_nothing_else(ledger: Ledger) -> None:
    first, second, third = (open_batch(ledger) for _ in range(3))
    said = [{"batch": first, "pause_reason": 'it\'s "odd"'}, {"batch": third, "pause_reason": None}]
    ledger.write(lambda tx: tx.execute(update(schema.batches).values(pause_reason="before")))
    ledger.write(_pause_with_reasons().run, said)
    with ledger.read() as tx:
        found = tx.execute(select(schema.batches.c.id, schema.batches.c.pause_reason))
        assert {row.id: row.pause_reason for row in found} == {first: 'it\'s "odd"', second: "before", third: None}


@pytest.mark.parametrize("rows", [(), (2,), (1, 3), (3, 99)])
def test_rows_are_found_among_numbers(ledger: Ledger, rows: tuple[int, ...]) -> None:
    batch = open_batch(ledger, 3)
    statement = select(schema.jobs.c.row).where(schema.jobs.c.batch_id == batch, among(schema.jobs.c.row, "rows"))
    with ledger.read() as tx:
        assert set(tx.execute(statement, {"rows": rows}).scalars()) == set(rows) - {99}


def test_rows_are_found_among_texts(ledger: Ledger) -> None:
    batch = open_batch(ledger, 3)
    named = among(schema.jobs.c.custom_id, "names")
    statement = select(schema.jobs.c.row).where(schema.jobs.c.batch_id == batch, named)
    names = [job_row(ledger, batch, 2).custom_id, 'no "such" name']
    with ledger.read() as tx:
        assert tx.execute(statement, {"names": names}).scalars().all() == [2]


def test_a_statement_reads_the_same_however_many_it_looks_for(ledger: Ledger) -> None:
    """Else the database plans it anew for every size of a group."""
    statement = select(schema.jobs.c.row).where(among(schema.jobs.c.row, "rows"))
    sent: list[str] = []

    def note(connection: Any, cursor: Any, words: str, *_: Any) -> None:
        sent.append(words)

    event.listen(ledger.engine, "before_cursor_execute", note)
    with ledger.read() as tx:
        sent.clear()
        for size in (1, 3):
            tx.execute(statement, {"rows": range(size)})
    event.remove(ledger.engine, "before_cursor_execute", note)
    assert len(sent) == 2
    assert sent[0] == sent[1]


@pytest.mark.parametrize("ledger", ["postgresql"], indirect=True)
def test_a_transaction_that_finds_by_key_leaves_the_connection_as_it_was(ledger: Ledger) -> None:
    def look(tx: Connection) -> str:
        return str(tx.execute(text("SHOW enable_seqscan")).scalar_one())

    def look_by_key(tx: Connection) -> str:
        find_by_key(tx)
        return look(tx)

    assert (ledger.write(look), ledger.write(look_by_key), ledger.write(look)) == ("on", "off", "on")


@pytest.mark.parametrize("ledger", ["postgresql"], indirect=True)
def test_a_settlement_goes_by_the_keys_of_its_attempts_whatever_the_statistics_say(ledger: Ledger) -> None:
    """No statistics, and a batch of everything: just where the planner would go by way of the whole batch."""
    batch = open_batch(ledger, 2_000)

    def plan(tx: Connection) -> str:
        find_by_key(tx)
        statement = str(settlement.LOCK.compile(ledger.engine))
        found = tx.exec_driver_sql(f"EXPLAIN {statement}", {"ids": ["a_1", "a_2"]})
        return "\n".join(found.scalars())

    told = ledger.write(plan)
    assert "pk_attempts" in told
    assert "pk_jobs" in told
    assert "Seq Scan" not in told
    assert states(ledger, batch) == {"queued": 2_000}
