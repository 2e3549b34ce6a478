"""resolve by hand: what a person knows of calls in doubt is written down whole, with evidence, or not at all."""

import re
from pathlib import Path

import pytest

from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands
from tests.integration.ledgers import (
    CEILING,
    PRICE,
    admit_one,
    at_once,
    attempt_row,
    batch_row,
    book,
    change,
    job_row,
    money,
    open_batch,
    states,
    succeeded,
    unknown,
)

WHY = ("--evidence", "invoice 11")


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def doubtful(ledger: Ledger, jobs: int = 1, **changes: object) -> tuple[str, list[str]]:
    """(batch, attempts): calls in doubt."""
    batch = open_batch(ledger, jobs, **changes)
    ids = [admit_one(ledger, batch).attempt_id for _ in range(jobs)]
    book(ledger, *map(unknown, ids))
    return batch, ids


def let_deadline_pass(ledger: Ledger, *attempts: str) -> None:
    """No process can send them any more."""
    table = schema.attempts
    change(ledger, table, table.c.id.in_(attempts), deadline_at=table.c.deadline_at - 1_000_000)


def test_a_billed_call_is_charged_its_ceiling_where_no_amount_is_said(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    done = mill("resolve", one, "--billed", *WHY, "--json")
    assert done.json() == {
        "attempts": 1,
        "billed_nanodollars": CEILING,
        "freed_nanodollars": 0,
        "jobs_failed": 1,
        "jobs_queued": 0,
        "dry_run": False,
    }
    assert "resolve 1 unknown call of" in done.err
    assert "$0.000001 (their ceilings, the worst case) becomes confirmed; 1 held job failed" in done.err
    assert money(sqlite_ledger, batch) == (CEILING, 0, 0)
    job = job_row(sqlite_ledger, batch)
    assert (job.state, job.error_kind) == ("failed", "billed_lost")
    assert job.error_message.startswith("invoice 11; it was in doubt by read_timeout")


def test_an_amount_is_that_of_each_call(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch, ids = doubtful(sqlite_ledger, 3)
    mill("resolve", *ids[:2], "--billed", "--amount", "0.000002", *WHY)
    assert money(sqlite_ledger, batch) == (4_000, CEILING, 0)
    assert states(sqlite_ledger, batch) == {"failed": 2, "held": 1}


def test_what_was_seen_of_the_call_is_kept(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    change(sqlite_ledger, schema.attempts, schema.attempts.c.id == one, http_status=502, request_id="req_7")
    key = job_row(sqlite_ledger, batch).key_number
    mill("resolve", one, "--billed", "--retry", *WHY)
    attempt = attempt_row(sqlite_ledger, one)
    assert (attempt.http_status, attempt.request_id, attempt.facts) == (502, "req_7", '{"doubt":"read_timeout"}')
    assert job_row(sqlite_ledger, batch).key_number == key  # nobody answered: the repeat may still be free


def test_a_call_is_freed_only_when_no_process_could_send_it_any_more(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    early = mill("resolve", one, "--not-billed", *WHY)
    assert early.code == 2
    assert re.search(rf"{one} may still be sent .* --not-billed is possible from 20\d\d-\d\d-\d\dT", early.err)
    assert job_row(sqlite_ledger, batch).state == "held"
    let_deadline_pass(sqlite_ledger, one)
    assert mill("resolve", one, "--not-billed", *WHY, "--json").json()["freed_nanodollars"] == CEILING
    assert money(sqlite_ledger, batch) == (0, 0, 0)
    assert job_row(sqlite_ledger, batch).error_kind == "not_billed"


def test_the_lease_counts_beside_the_deadline(mill: Commands, sqlite_ledger: Ledger) -> None:
    _, (one,) = doubtful(sqlite_ledger)
    table = schema.attempts
    change(sqlite_ledger, table, table.c.id == one, deadline_at=table.c.admitted_at - 55_000)
    assert mill("resolve", one, "--not-billed", *WHY).code == 2
    change(sqlite_ledger, table, table.c.id == one, deadline_at=table.c.admitted_at - 61_000)
    assert mill("resolve", one, "--not-billed", *WHY).code == 0


def test_the_jobs_are_queued_again_where_that_is_wished_and_a_batch_that_was_done_opens(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    batch, ids = doubtful(sqlite_ledger, 2)
    assert batch_row(sqlite_ledger, batch).state == "done"
    let_deadline_pass(sqlite_ledger, *ids)
    done = mill("resolve", "--batch", batch, "--not-billed", "--retry", *WHY)
    assert "2 calls resolved; 0 jobs failed, 2 queued again" in done.out
    assert f"imagemill run {batch}" in done.err
    assert batch_row(sqlite_ledger, batch).state == "open"
    assert job_row(sqlite_ledger, batch).attempts == 1
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, batch).attempt_id))
    assert states(sqlite_ledger, batch) == {"succeeded": 1, "queued": 1}


def test_a_job_that_moved_on_keeps_its_state(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch = open_batch(sqlite_ledger, retry_unknown=1)
    first = admit_one(sqlite_ledger, batch).attempt_id
    book(sqlite_ledger, unknown(first), retry=at_once)
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, batch).attempt_id))
    facts = mill("resolve", first, "--billed", "--retry", *WHY, "--json").json()
    assert (facts["jobs_failed"], facts["jobs_queued"]) == (0, 0)
    assert job_row(sqlite_ledger, batch).state == "succeeded"
    assert money(sqlite_ledger, batch) == (PRICE + CEILING, 0, 0)


def test_every_attempt_that_cannot_be_resolved_is_named_and_nothing_is_half_done(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    other = open_batch(sqlite_ledger, 2)
    settled, in_flight = (admit_one(sqlite_ledger, other).attempt_id for _ in range(2))
    book(sqlite_ledger, succeeded(settled))
    done = mill("resolve", one, settled, in_flight, "--billed", *WHY)
    assert done.code == 2
    assert f"{settled} is succeeded, not unknown" in done.err
    assert f"{in_flight} is in flight" in done.err
    unclear = mill("resolve", one, "a_NOBODY", "a_", "--billed", *WHY)
    assert unclear.code == 2
    assert "there is no attempt 'a_NOBODY'" in unclear.err
    assert f"'a_' can mean {one}" in unclear.err
    assert job_row(sqlite_ledger, batch).state == "held"


def test_an_attempt_may_be_said_by_its_beginning_and_more_than_once(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    assert mill("resolve", one[2:20].lower(), one, "--billed", *WHY, "--json").json()["attempts"] == 1
    assert money(sqlite_ledger, batch) == (CEILING, 0, 0)


def test_a_second_resolution_is_refused(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    mill("resolve", one, "--billed", *WHY)
    assert f"{one} is billed_lost, not unknown" in mill("resolve", one, "--billed", *WHY).err
    assert money(sqlite_ledger, batch) == (CEILING, 0, 0)


def test_a_dry_resolution_changes_nothing_and_a_large_one_asks(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch, (one,) = doubtful(sqlite_ledger)
    assert mill("resolve", one, "--billed", *WHY, "--dry-run", "--json").json()["billed_nanodollars"] == CEILING
    refused = mill("resolve", one, "--billed", "--amount", "1.01", *WHY)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert money(sqlite_ledger, batch) == (0, CEILING, 0)
    assert mill("resolve", one, "--billed", "--amount", "1.01", *WHY, "--yes").code == 0
    assert money(sqlite_ledger, batch) == (1_010_000_000, 0, 0)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("a_1",),
        ("a_1", "--billed", "--not-billed"),
        ("a_1", "--not-billed", "--amount", "1"),
        ("--billed",),
        ("a_1", "--batch", "last", "--billed"),
        ("a_1", "--billed", "--correct"),
    ],
)
def test_what_cannot_be_meant_is_refused(mill: Commands, words: tuple[str, ...]) -> None:
    assert mill("resolve", *words, *WHY).code == 2


@pytest.mark.parametrize("evidence", [(), ("--evidence", " ")])
def test_nothing_is_resolved_without_evidence(
    mill: Commands, sqlite_ledger: Ledger, evidence: tuple[str, ...]
) -> None:
    _, (one,) = doubtful(sqlite_ledger)
    assert mill("resolve", one, "--billed", *evidence).code == 2
