"""The model test at length, on both engines."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test

from jobs.ledger.engine import Ledger
from jobs.ledger.migrate import upgrade
from tests.integration.ledger_machine import LedgerMachine, length


def test_the_promises_hold_after_every_step_of_20_000_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "template.db"
    made = Ledger(f"sqlite:///{template}")
    upgrade(made)
    made.close()
    numbers = itertools.count()

    def new_ledger() -> Ledger:
        path = tmp_path / f"run-{next(numbers)}.db"
        shutil.copyfile(template, path)
        for old in tmp_path.glob("run-*.db*"):
            if old != path:
                old.unlink()
        return Ledger(f"sqlite:///{path}")

    monkeypatch.setattr(LedgerMachine, "new_ledger", staticmethod(new_ledger), raising=False)
    run_state_machine_as_test(LedgerMachine, settings=length(runs=20_000, steps=50))


def test_the_promises_hold_on_postgresql_too(
    migrated: str, postgres_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        LedgerMachine, "new_ledger", staticmethod(lambda: Ledger(postgres_database(migrated))), raising=False
    )
    run_state_machine_as_test(LedgerMachine, settings=length(runs=400, steps=50))
