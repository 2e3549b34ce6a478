"""What `doctor` tells somebody on call about disks, workers, waits and doubts; each finding says what to do."""

import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import disk_findings
from jobs.ledger import recovery, schema
from jobs.ledger.control import pause
from jobs.ledger.engine import Ledger
from tests.integration.commands import Commands
from tests.integration.ledgers import (
    admit_one,
    ask,
    book,
    change,
    let_lease_run_out,
    live_worker,
    open_batch,
    unknown,
)
from worker.witness import Witness


@pytest.fixture
def mill(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def findings(mill: Commands) -> dict[str, tuple[str, str]]:
    """{what: (verdict, told)}"""
    found: list[dict[str, Any]] = mill("doctor", "--json").json()["findings"]
    return {one["what"]: (one["verdict"], one["told"]) for one in found}


def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    """The test's folder is on a disk of that kind."""
    table = tmp_path / "mounts"
    table.write_text(f"disk / ext4 rw 0 0\nother {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(disk_findings, "_MOUNTS", table)


def test_live_workers_are_named_with_their_beat_and_load(mill: Commands, sqlite_ledger: Ledger) -> None:
    sqlite_ledger.write(recovery.beat, live_worker(sqlite_ledger), in_flight=7)
    verdict, told = findings(mill)["workers"]
    assert (verdict, told) == ("ok", "1 live: here:1 beat 0 s ago, 7 in flight")


def test_due_jobs_without_a_worker_are_bad_where_workers_are_expected(
    mill: Commands, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_batch(sqlite_ledger, 3)
    assert findings(mill)["workers"] == (
        "look",
        "none live, and 3 jobs due: start `imagemill run last`, or a worker",
    )
    monkeypatch.setenv("IMAGEMILL_BROKER_URL", "memory://")
    assert findings(mill)["workers"] == ("bad", "none live, and 3 jobs due: start `imagemill work`")


def test_the_open_calls_of_a_dead_worker_are_bad_once_a_sweep_should_have_held_them(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    dead = live_worker(sqlite_ledger)
    ask(sqlite_ledger, open_batch(sqlite_ledger, 2), 2, dead)
    let_lease_run_out(sqlite_ledger, dead)
    verdict, told = findings(mill)["dead worker"]
    assert verdict == "look" and "2 calls open" in told
    let_lease_run_out(sqlite_ledger, dead)
    assert findings(mill)["dead worker"][0] == "bad"


def test_workers_that_beat_but_admit_nothing_are_noticed(mill: Commands, sqlite_ledger: Ledger) -> None:
    live_worker(sqlite_ledger)
    batch = open_batch(sqlite_ledger, 2)
    assert "admission" not in findings(mill)
    table = schema.batches
    change(sqlite_ledger, table, table.c.id == batch, opened_at=table.c.opened_at - 600_000)
    verdict, told = findings(mill)["admission"]
    assert verdict == "look" and told.startswith("2 jobs due, but nothing was admitted for 10 min")


def test_what_a_batch_waits_for_is_told_in_the_words_of_status(mill: Commands, sqlite_ledger: Ledger) -> None:
    batch = open_batch(sqlite_ledger, 2)
    sqlite_ledger.write(pause, batch, "budget")
    assert findings(mill)["waiting"] == ("look", f"{batch} (2 jobs): paused: budget")


def test_doubts_are_told_with_their_money_and_age(mill: Commands, sqlite_ledger: Ledger) -> None:
    book(sqlite_ledger, unknown(admit_one(sqlite_ledger, open_batch(sqlite_ledger)).attempt_id))
    verdict, told = findings(mill)["doubts"]
    assert verdict == "look"
    assert re.match(
        r"1 call may have been paid for, \$0\.000001 at most, the oldest since \d+ s: `imagemill resolve`", told
    )


def test_a_restored_database_is_bad(mill: Commands, sqlite_ledger: Ledger) -> None:
    assert "backup" not in findings(mill)
    witness = Witness(mill.home)
    witness.saw([replace(admit_one(sqlite_ledger, open_batch(sqlite_ledger)), attempt_id="a_LOST")])
    witness.write()
    verdict, told = findings(mill)["backup"]
    assert verdict == "bad" and "a_LOST" in told and "imagemill db restored" in told
    assert mill("db", "restored", "--yes").code == 0
    assert "backup" not in findings(mill)


def test_folders_of_dead_workers_in_the_spool_are_named_and_those_of_live_ones_are_not(
    mill: Commands, sqlite_ledger: Ledger
) -> None:
    sqlite_ledger.write(recovery.register_worker, "w_LIVE", socket.gethostname(), os.getpid(), "w_LIVE")
    for name in ("w_LIVE", "w_DEAD"):
        (mill.home / "spool" / name).mkdir(parents=True)
    verdict, told = findings(mill)["spool"]
    assert verdict == "look" and "1 folder of dead workers" in told and "(w_DEAD)" in told


@pytest.mark.parametrize(
    ("kind", "what", "verdict"),
    [
        ("tmpfs", "spool", "bad"),
        ("overlay", "spool", "look"),
        ("nfs4", "spool", "look"),
        ("nfs4", "database file", "bad"),
        ("fuse.sshfs", "database file", "bad"),
    ],
)
def test_disks_that_do_not_keep_what_they_hold_are_named(
    kind: str, what: str, verdict: str, mill: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted(monkeypatch, tmp_path, kind)
    found_verdict, told = findings(mill)[what]
    assert found_verdict == verdict and kind in told


def test_an_ordinary_disk_is_no_finding(mill: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounted(monkeypatch, tmp_path, "ext4")
    assert not {"spool", "database file"} & set(findings(mill))
