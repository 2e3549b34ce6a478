"""A ledger restored from an older backup: noticed by what a machine remembers, held by a person's word."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from jobs import files
from jobs.errors import LedgerError, LedgerRestored
from jobs.ledger import restored, schema
from jobs.ledger.acts import list_acts
from jobs.ledger.admission import Admitted
from jobs.ledger.control import retry
from jobs.ledger.engine import Ledger
from jobs.states import JobState
from tests.integration.ledgers import (
    admit_one,
    ask,
    batch_row,
    book,
    change,
    job_row,
    open_batch,
    states,
    succeeded,
)
from tests.integration.mills import QUICK, Mill, until
from tests.integration.test_replay import run_until_killed
from worker.replay import replay_abandoned
from worker.simulator import start_in_thread
from worker.witness import Witness


def lost(admitted: Admitted) -> Admitted:
    """The same call under an id that the ledger does not know."""
    return replace(admitted, attempt_id="a_LOST")


def witness_of(folder: Path, *admitted: Admitted) -> Witness:
    witness = Witness(folder)
    witness.saw(admitted)
    witness.write()
    return Witness(folder)


def test_calls_that_the_ledger_knows_are_no_reason_to_stop(ledger: Ledger, tmp_path: Path) -> None:
    Witness(tmp_path).require_known(ledger)
    mine = admit_one(ledger, open_batch(ledger))
    witness_of(tmp_path, mine).require_known(ledger, [mine])


def test_a_call_of_a_known_batch_that_the_ledger_lacks_proves_a_restore(ledger: Ledger, tmp_path: Path) -> None:
    witness = witness_of(tmp_path, lost(admit_one(ledger, open_batch(ledger))))
    with pytest.raises(LedgerRestored, match=r"does not know a_LOST.*imagemill db restored"):
        witness.require_known(ledger)


def test_a_call_in_flight_that_the_ledger_lacks_proves_it_too(ledger: Ledger, tmp_path: Path) -> None:
    mine = admit_one(ledger, open_batch(ledger))
    with pytest.raises(LedgerRestored):
        Witness(tmp_path).require_known(ledger, [lost(mine)])


def test_a_lost_call_stops_every_later_worker_whatever_was_admitted_since(ledger: Ledger, tmp_path: Path) -> None:
    """The worker that loses it may still admit others of the same batch, which the ledger knows."""
    batch = open_batch(ledger, 3)
    first = admit_one(ledger, batch)
    witness = witness_of(tmp_path, first)
    newer = admit_one(ledger, batch)
    witness.saw([newer])
    with pytest.raises(LedgerRestored):
        witness.require_known(ledger, [lost(first), newer])
    witness.write()
    with pytest.raises(LedgerRestored, match="a_LOST"):
        Witness(tmp_path).require_known(ledger)
    ledger.write(restored.hold_queued, "me")
    Witness(tmp_path).require_known(ledger)


def test_a_lost_call_of_the_file_is_not_covered_by_a_newer_one_of_this_process(
    ledger: Ledger, tmp_path: Path
) -> None:
    batch = open_batch(ledger, 2)
    witness = witness_of(tmp_path, lost(admit_one(ledger, batch)))
    witness.saw([admit_one(ledger, batch)])
    with pytest.raises(LedgerRestored, match="a_LOST"):
        witness.require_known(ledger)


def test_a_lost_call_is_told_even_where_it_cannot_be_put_down(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = admit_one(ledger, open_batch(ledger))
    monkeypatch.setattr(files, "write_durably", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    with pytest.raises(LedgerRestored):
        Witness(tmp_path).require_known(ledger, [lost(mine)])


def test_the_calls_of_another_ledger_prove_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """A data folder may have served another database before."""
    elsewhere = replace(lost(admit_one(ledger, open_batch(ledger))), batch_id="b_ELSEWHERE")
    witness_of(tmp_path, elsewhere).require_known(ledger)


def test_the_workers_of_a_machine_add_to_one_memory(ledger: Ledger, tmp_path: Path) -> None:
    first, second = (admit_one(ledger, open_batch(ledger)) for _ in range(2))
    witness_of(tmp_path, first)
    witness_of(tmp_path, lost(second))
    witness_of(tmp_path, admit_one(ledger, open_batch(ledger)))
    with pytest.raises(LedgerRestored):
        Witness(tmp_path).require_known(ledger)


def test_what_could_not_be_written_is_written_the_next_time(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = Witness(tmp_path)
    witness.saw([lost(admit_one(ledger, open_batch(ledger)))])
    with monkeypatch.context() as full:
        full.setattr(files, "write_durably", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            witness.write()
    Witness(tmp_path).require_known(ledger)
    witness.write()
    with pytest.raises(LedgerRestored):
        Witness(tmp_path).require_known(ledger)


def test_a_memory_that_cannot_be_read_is_not_taken_for_none(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "admitted.json").write_bytes(b'{"b_1": ')
    with pytest.raises(LedgerError, match="cannot be read"):
        Witness(tmp_path).require_known(ledger)


def test_every_queued_job_is_held_with_the_reason_and_nothing_else_moves(ledger: Ledger) -> None:
    batch, other = open_batch(ledger, 4), open_batch(ledger, 2)
    book(ledger, succeeded(admit_one(ledger, batch).attempt_id))
    running = admit_one(ledger, batch)
    with ledger.read() as tx:
        assert [(one.batch_id, one.jobs) for one in restored.queued_batches(tx)] == [(batch, 2), (other, 2)]
    assert ledger.write(restored.hold_queued, "me") == 4
    assert states(ledger, batch) == {"succeeded": 1, "running": 1, "held": 2}
    assert job_row(ledger, other).error_kind == "ledger_restored"
    assert (batch_row(ledger, batch).state, batch_row(ledger, other).state) == ("open", "done")
    assert ask(ledger, batch).admitted == []
    book(ledger, succeeded(running.attempt_id))
    assert batch_row(ledger, batch).state == "done"


def test_after_the_word_earlier_calls_are_no_reason_to_stop_and_later_ones_are(
    ledger: Ledger, tmp_path: Path
) -> None:
    batch = open_batch(ledger, 2)
    witness = witness_of(tmp_path, lost(admit_one(ledger, batch)))
    ledger.write(restored.hold_queued, "me")
    witness.require_known(ledger)
    with ledger.read() as tx:
        (act,) = list_acts(tx)
    assert (act["who"], act["verb"], act["what"]) == ("me", "db restored", {"moved": 1})
    change(ledger, schema.acts, at=schema.acts.c.at - 10_000)
    ledger.write(retry, batch, [JobState.HELD])
    again = witness_of(tmp_path, lost(admit_one(ledger, batch)))
    with pytest.raises(LedgerRestored):
        again.require_known(ledger)


@pytest.fixture
def mill(sqlite_ledger: Ledger, tmp_path: Path) -> Iterator[Mill]:
    with start_in_thread(QUICK) as simulator:
        yield Mill(sqlite_ledger, simulator, tmp_path)


@contextmanager
def restored_after(mill: Mill) -> Iterator[None]:
    """The database is, after the block, what it was before."""
    file = mill.folder / "ledger.db"
    with closing(sqlite3.connect(":memory:")) as backup:
        with closing(sqlite3.connect(file)) as live:
            live.backup(backup)
        yield
        with closing(sqlite3.connect(file)) as live:
            backup.backup(live)


def test_a_worker_that_lives_through_a_restore_sends_nothing_again(mill: Mill) -> None:
    """It is fenced first, since the backup does not know it; it looks before it admits under a new name."""
    batch = mill.submit("a fox", "a hen", "a cat", "a dog")
    executor = mill.executor()
    with restored_after(mill):
        executor.start()
        until(lambda: states(mill.ledger, batch) == {"succeeded": 4})
    executor.wake()
    until(lambda: executor.failure is not None)
    executor.close()
    assert isinstance(executor.failure, LedgerRestored)
    assert len(mill.simulator.calls()) == 4
    assert states(mill.ledger, batch) == {"queued": 4}


def test_answers_to_calls_that_a_restored_ledger_lacks_stay_in_the_spool(mill: Mill) -> None:
    batch = mill.submit("a fox")
    with restored_after(mill):
        run_until_killed(mill, batch, "after_owning")
    owned = mill.spooled()
    executor = mill.executor()
    executor.stop_admitting()
    executor.start()
    replay_abandoned(executor)
    executor.close()
    kept = [path for path in owned if path.suffix in (".json", ".part")]
    assert kept and set(kept) <= set(mill.spooled())
    assert states(mill.ledger, batch) == {"queued": 1}
