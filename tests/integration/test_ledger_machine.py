"""Made-up orders of things done to a ledger: ledger_machine does them, ledger_promises says what must hold."""

import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test

from jobs.ledger.engine import Ledger
from tests.integration.ledger_machine import LedgerMachine, length


def test_the_promises_hold_after_every_step_of_any_order(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()

    def new_ledger() -> Ledger:
        path = tmp_path / f"run-{next(numbers)}.db"
        shutil.copyfile(sqlite_template, path)
        return Ledger(f"sqlite:///{path}")

    monkeypatch.setattr(LedgerMachine, "new_ledger", staticmethod(new_ledger), raising=False)
    run_state_machine_as_test(LedgerMachine, settings=length(runs=60, steps=50))
