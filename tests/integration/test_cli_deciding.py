"""retry, pause, resume, cancel: exactly what was asked for, with counts, and never unasked."""

from pathlib import Path

import pytest

from jobs.ledger.engine import Ledger
from jobs.ledger.limits import list_pauses, pause_endpoint
from tests.integration.commands import Commands, fill
from tests.integration.ledgers import ENDPOINT, admit_one, batch_row, book, open_batch, rejected, states, succeeded


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.fixture
def batch(sqlite_ledger: Ledger) -> str:
    return fill(sqlite_ledger)


def failed_batch(ledger: Ledger, jobs: int) -> str:
    """A batch of which every job failed."""
    batch_id = open_batch(ledger, jobs)
    for _ in range(jobs):
        book(ledger, rejected(admit_one(ledger, batch_id).attempt_id))
    return batch_id


@pytest.mark.parametrize(("flag", "jobs"), [("--failed", 2), ("--held", 1), ("--refused", 1)])
def test_retry_queues_exactly_the_jobs_of_that_state(
    mill: Commands, batch: str, sqlite_ledger: Ledger, flag: str, jobs: int
) -> None:
    done = mill("retry", batch, flag, "--json")
    assert done.json() == {"batch": batch, "jobs": jobs, "dry_run": False}
    assert states(sqlite_ledger, batch)["queued"] == 1 + jobs
    assert states(sqlite_ledger, batch)[flag.removeprefix("--")] == 0
    assert f"imagemill run {batch}" in done.err


def test_retry_says_first_what_it_may_cost(mill: Commands, batch: str) -> None:
    assert f"send 1 job (held) of {batch} again, at worst $0.000001 more" in mill("retry", batch, "--held").err


def test_retry_asks_which_jobs_are_meant(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    done = mill("retry", batch)
    assert done.code == 2
    assert "--failed (2) · --held (1) · --refused (1)" in done.err
    assert states(sqlite_ledger, batch)["failed"] == 2


def test_a_dry_retry_moves_nothing(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    assert mill("retry", batch, "--failed", "--dry-run", "--json").json()["jobs"] == 2
    assert states(sqlite_ledger, batch)["failed"] == 2


def test_a_large_retry_is_refused_where_nobody_can_answer(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = failed_batch(sqlite_ledger, 101)
    done = mill("retry", batch_id, "--failed")
    assert done.code == 2
    assert "--yes" in done.err
    assert states(sqlite_ledger, batch_id)["failed"] == 101
    assert mill("retry", batch_id, "--failed", "--yes").code == 0
    assert states(sqlite_ledger, batch_id)["queued"] == 101


def test_pause_and_resume_move_the_batch_there_and_back(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    assert mill("pause", batch, "--reason", "lunch", "--json").json() == {
        "batch": batch, "moved": True, "state": "paused"
    }  # fmt: skip
    assert mill("status", batch, "--json").json()["waiting_for"] == "paused: lunch"
    assert mill("pause", batch, "--json").json()["moved"] is False
    assert mill("resume", batch, "--json").json()["state"] == "open"
    assert batch_row(sqlite_ledger, batch).state == "open"


def test_resume_raises_the_budget(mill: Commands, batch: str) -> None:
    mill("pause", batch)
    mill("resume", batch, "--budget", "80.50")
    assert mill("status", batch, "--json").json()["budget_nanodollars"] == 80_500_000_000


def test_resume_without_a_batch_lifts_the_pauses_of_the_endpoint(mill: Commands, sqlite_ledger: Ledger) -> None:
    sqlite_ledger.write(pause_endpoint, ENDPOINT, None, "billing", "no money left")
    done = mill("resume")
    assert done.out == "1 endpoint pause lifted\n"
    assert "billing: no money left" in done.err
    with sqlite_ledger.read() as tx:
        assert list_pauses(tx) == []


def test_resume_with_a_batch_lifts_both(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    mill("pause", batch)
    sqlite_ledger.write(pause_endpoint, ENDPOINT, "gpt-image-1", "permission_denied", "no")
    facts = mill("resume", batch, "--json").json()
    assert (facts["moved"], facts["endpoint_pauses_lifted"]) == (True, 1)


def test_a_budget_needs_a_batch(mill: Commands) -> None:
    assert mill("resume", "--budget", "5").code == 2


def test_cancel_drops_what_is_queued(mill: Commands, batch: str, sqlite_ledger: Ledger) -> None:
    assert mill("cancel", batch, "--dry-run", "--json").json()["state"] == "open"
    assert mill("cancel", batch, "--json").json() == {"batch": batch, "jobs": 1, "state": "cancelled"}
    assert states(sqlite_ledger, batch)["cancelled"] == 1


def test_cancelling_what_has_ended_changes_nothing(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = open_batch(sqlite_ledger)
    book(sqlite_ledger, succeeded(admit_one(sqlite_ledger, batch_id).attempt_id))
    assert mill("cancel", batch_id, "--json").json() == {"batch": batch_id, "jobs": 0, "state": "done"}


def test_a_large_cancel_is_refused_where_nobody_can_answer(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch_id = open_batch(sqlite_ledger, 101)
    assert mill("cancel", batch_id).code == 2
    assert states(sqlite_ledger, batch_id)["queued"] == 101
    assert mill("cancel", batch_id, "--yes").code == 0
