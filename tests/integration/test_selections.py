"""Frozen selections: exactly the jobs that were seen, once, or none of them."""

import pytest

from jobs.errors import Conflict, UsageError
from jobs.ledger import schema
from jobs.ledger.browsing import NO_CAUSE, JobFilter
from jobs.ledger.engine import Ledger
from jobs.ledger.selections import freeze, read_selection, retry_selection
from tests.integration.ledgers import (
    CEILING,
    admit_one,
    batch_row,
    book,
    change,
    job_row,
    open_batch,
    refused,
    rejected,
    states,
    succeeded,
    unknown,
)

FAILED = JobFilter("failed")


def worked(ledger: Ledger) -> str:
    """Jobs 1 and 2 failed, 3 is held, 4 refused, 5 succeeded, 6 queued."""
    batch_id = open_batch(ledger, 6)
    for end in (rejected, rejected, unknown, refused, succeeded):
        book(ledger, end(admit_one(ledger, batch_id).attempt_id))
    return batch_id


def test_freezing_says_how_many_and_how_much_and_which(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    made = ledger.write(freeze, batch_id, FAILED, "ana")
    assert (made.jobs, made.worst_nano, made.held, made.upper_row) == (2, 2 * CEILING, 0, 2)
    assert made.sample == ("row-1", "row-2")
    with ledger.read() as tx:
        assert read_selection(tx, made.id) == made


def test_freezing_moves_nothing(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    before = states(ledger, batch_id)
    ledger.write(freeze, batch_id, JobFilter(), "ana")
    assert states(ledger, batch_id) == before


def test_a_selection_of_all_trouble_counts_the_jobs_maybe_paid(ledger: Ledger) -> None:
    made = ledger.write(freeze, worked(ledger), JobFilter(), "ana")
    assert (made.jobs, made.held) == (4, 1)


def test_retrying_queues_the_very_jobs_and_opens_the_batch(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    book(ledger, succeeded(admit_one(ledger, batch_id).attempt_id))
    assert batch_row(ledger, batch_id).state == "done"
    made = ledger.write(freeze, batch_id, JobFilter("failed", "invalid_value"), "ana")
    assert ledger.write(retry_selection, made.id, "ana") == 2
    assert states(ledger, batch_id) == {"queued": 2, "held": 1, "refused": 1, "succeeded": 2}
    assert batch_row(ledger, batch_id).state == "open"


def test_a_selection_is_retried_once(ledger: Ledger) -> None:
    made = ledger.write(freeze, worked(ledger), FAILED, "ana")
    ledger.write(retry_selection, made.id, "ana")
    with pytest.raises(Conflict, match="already"):
        ledger.write(retry_selection, made.id, "ana")


def test_a_set_that_lost_a_job_is_not_retried_and_may_not_be_used_up(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    made = ledger.write(freeze, batch_id, FAILED, "ana")
    other = ledger.write(freeze, batch_id, FAILED, "ben")
    ledger.write(retry_selection, other.id, "ben")
    with pytest.raises(Conflict, match="changed since"):
        ledger.write(retry_selection, made.id, "ana")
    with ledger.read() as tx:
        kept = read_selection(tx, made.id)
    assert kept is not None and kept.used_at is None


def test_a_job_that_failed_anew_meanwhile_makes_it_another_set(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    made = ledger.write(freeze, batch_id, FAILED, "ana")
    other = ledger.write(freeze, batch_id, FAILED, "ben")
    ledger.write(retry_selection, other.id, "ben")
    for _ in range(2):
        book(ledger, rejected(admit_one(ledger, batch_id).attempt_id))
    assert states(ledger, batch_id)["failed"] == 2
    with pytest.raises(Conflict, match="changed since"):
        ledger.write(retry_selection, made.id, "ana")


def test_a_job_that_failed_later_behind_the_last_row_is_not_sent(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    made = ledger.write(freeze, batch_id, FAILED, "ana")
    book(ledger, rejected(admit_one(ledger, batch_id).attempt_id))
    assert ledger.write(retry_selection, made.id, "ana") == 2
    assert job_row(ledger, batch_id, 6).state == "failed"


def test_jobs_without_a_cause_are_a_cause_of_their_own(ledger: Ledger) -> None:
    batch_id = worked(ledger)
    change(ledger, schema.jobs, schema.jobs.c.row == 1, error_kind=None)
    made = ledger.write(freeze, batch_id, JobFilter("failed", NO_CAUSE), "ana")
    assert made.sample == ("row-1",)


def test_nothing_to_send_again_is_said(ledger: Ledger) -> None:
    batch_id = open_batch(ledger, 1)
    with pytest.raises(UsageError, match="no job"):
        ledger.write(freeze, batch_id, JobFilter(), "ana")
