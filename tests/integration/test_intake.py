"""Intake: a batch enters whole or not at all, and the same submission is the same batch, also twice at once."""

from collections import Counter
from functools import partial
from random import Random

import pytest
from sqlalchemy import select

from jobs.errors import Conflict
from jobs.ledger import figures, intake, recovery, schema
from jobs.ledger.engine import Ledger
from jobs.ledger.intake import NewBatch
from tests.integration.ledgers import (
    all_at_once,
    ask,
    batch_row,
    change,
    count,
    job_row,
    new_batch,
    new_job,
    open_batch,
    states,
)


def load(ledger: Ledger, batch: NewBatch, rows: int = 2) -> None:
    ledger.write(intake.begin_batch, batch)
    ledger.write(intake.stage_jobs, batch.id, [new_job(row) for row in range(1, rows + 1)])


def open_it(ledger: Ledger, batch: NewBatch, rows: int = 2) -> None:
    ledger.write(intake.open_batch, batch.id, Counter({"gpt-image-1": rows}), None)


def test_what_is_loading_is_seen_by_nobody(ledger: Ledger) -> None:
    batch = new_batch()
    load(ledger, batch)
    assert ask(ledger, batch.id, 2).admitted == []
    with ledger.read() as tx:
        assert recovery.due_batches(tx) == []
        assert figures.list_batches(tx) == []
        assert figures.match_batch(tx, "last") == figures.match_batch(tx, batch.id) == []
        assert intake.find_batch(tx, batch.fingerprint) is None


def test_opening_makes_the_whole_batch_runnable_at_once(ledger: Ledger) -> None:
    batch = new_batch()
    load(ledger, batch, 3)
    open_it(ledger, batch, 3)
    row = batch_row(ledger, batch.id)
    assert (row.state, row.jobs, row.opened_at >= row.created_at) == ("open", 3, True)
    with ledger.read() as tx:
        assert intake.find_batch(tx, batch.fingerprint) == (batch.id, 1, 3)
    assert [one.row for one in ask(ledger, batch.id, 5).admitted] == [1, 2, 3]


def test_a_prompt_comes_back_letter_for_letter(ledger: Ledger) -> None:
    request = '{"model":"gpt-image-1","prompt":"一只红色的狐狸 \\u2028 🦊 \\"quoted\\"\\n"}'
    batch = open_batch(ledger, [new_job(1, request=request)])
    (admitted,) = ask(ledger, batch).admitted
    assert admitted.request == request


def test_c17_the_longest_id_and_model_that_a_manifest_may_have_fit_the_indexes(ledger: Ledger) -> None:
    """Random letters, since an index takes more of what it can compress."""
    draw = Random(17)
    custom_id, model = (
        "".join(chr(draw.randrange(0x10000, 0x20000)) for _ in range(letters)) for letters in (256, 200)
    )
    batch = open_batch(ledger, [new_job(1, custom_id=custom_id, model=model)])
    assert ask(ledger, batch).admitted[0].row == 1


def test_a_discarded_batch_leaves_no_rows(ledger: Ledger) -> None:
    batch = new_batch()
    load(ledger, batch)
    ledger.write(intake.discard_batch, batch.id)
    assert count(ledger, schema.batches) == count(ledger, schema.jobs) == 0


def test_a_batch_that_opened_cannot_be_discarded(ledger: Ledger) -> None:
    batch = open_batch(ledger, 2)
    ledger.write(intake.discard_batch, batch)
    assert states(ledger, batch) == {"queued": 2}


def test_the_same_submission_opens_once(ledger: Ledger) -> None:
    first, second = new_batch("same"), new_batch("same")
    for batch in (first, second):
        load(ledger, batch)
    open_it(ledger, first)
    with pytest.raises(Conflict):
        open_it(ledger, second)
    assert batch_row(ledger, second.id).state == "loading"


def test_of_the_same_submissions_at_once_one_opens(ledger: Ledger) -> None:
    batches = [new_batch("same") for _ in range(5)]
    for batch in batches:
        load(ledger, batch)

    def try_to_open(batch: NewBatch) -> bool:
        try:
            open_it(ledger, batch)
        except Conflict:
            ledger.write(intake.discard_batch, batch.id)
            return False
        return True

    assert sorted(all_at_once([partial(try_to_open, batch) for batch in batches])) == [False] * 4 + [True]
    assert count(ledger, schema.batches) == 1
    assert count(ledger, schema.jobs) == 2


def test_another_edition_of_the_same_submission_is_a_batch_of_its_own(ledger: Ledger) -> None:
    first, again = new_batch("same"), new_batch("same", edition=2)
    for batch in (first, again):
        load(ledger, batch)
        open_it(ledger, batch)
    with ledger.read() as tx:
        assert intake.find_batch(tx, "same") == (again.id, 2, 2)


def test_a_batch_cannot_be_opened_twice_or_after_it_was_cleared_away(ledger: Ledger) -> None:
    cleared = new_batch()
    load(ledger, cleared)
    ledger.write(intake.discard_batch, cleared.id)
    with pytest.raises(Conflict, match="not loading any more"):
        open_it(ledger, cleared)
    assert count(ledger, schema.job_tallies) == count(ledger, schema.budgets) == 0


def test_two_rows_with_one_custom_id_are_refused_by_the_ledger(ledger: Ledger) -> None:
    batch = new_batch()
    ledger.write(intake.begin_batch, batch)
    with pytest.raises(Conflict):
        ledger.write(intake.stage_jobs, batch.id, [new_job(1), new_job(2, custom_id="row-1")])
    assert count(ledger, schema.jobs) == 0


def test_s28_what_a_killed_submission_staged_is_cleared_away_a_day_later(ledger: Ledger) -> None:
    killed, young = new_batch(), new_batch()
    load(ledger, killed)
    load(ledger, young)
    table = schema.batches
    change(ledger, table, table.c.id == killed.id, created_at=table.c.created_at - 24 * 3600 * 1000 - 1)
    ledger.write(intake.begin_batch, new_batch())
    with ledger.read() as tx:
        assert set(tx.execute(select(schema.jobs.c.batch_id)).scalars()) == {young.id}


def test_rows_with_the_same_tags_share_one_set(ledger: Ledger) -> None:
    tags = {"sku": "42", "farbe": "grün"}
    rows = [new_job(1, tags=tags), new_job(2, tags=dict(reversed(tags.items()))), new_job(3)]
    batch = open_batch(ledger, rows)
    assert job_row(ledger, batch, 1).tag_set == job_row(ledger, batch, 2).tag_set
    with ledger.read() as tx:
        assert sorted(tx.execute(select(schema.tag_sets.c.tags)).scalars()) == ['{"farbe":"grün","sku":"42"}', "{}"]


def test_the_same_tags_staged_by_two_submissions_at_once_are_stored_once(ledger: Ledger) -> None:
    rows = [new_job(row, tags={"n": str(row % 3)}) for row in range(1, 40)]
    all_at_once([lambda: open_batch(ledger, rows) for _ in range(4)])
    assert count(ledger, schema.tag_sets) == 3
