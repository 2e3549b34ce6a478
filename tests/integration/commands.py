"""Command lines run inside the test's process: exit code, stdout, stderr."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from jobs.cli.trouble import run
from jobs.ledger.engine import Ledger
from tests.integration.ledgers import (
    admit_one,
    book,
    image_lost,
    new_job,
    open_batch,
    refused,
    rejected,
    succeeded,
    throttled,
    unknown,
)

SEASONS = ("autumn", "spring")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The last line of stdout, read."""
        return json.loads(self.out.splitlines()[-1])

    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Commands:
    """Runs `imagemill` commands on the data folder `home`, as a pipe would: no terminal anywhere."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys
        monkeypatch.chdir(home)
        monkeypatch.setenv("IMAGEMILL_DATA_DIR", str(home))
        monkeypatch.setenv("IMAGEMILL_API_KEY", "sk-test")
        for name in ("DATABASE_URL", "BROKER_URL", "STORAGE_URL", "ENDPOINT_URL", "DEBUG"):
            monkeypatch.delenv(f"IMAGEMILL_{name}", raising=False)

    def __call__(self, *words: str) -> Done:
        self._capsys.readouterr()
        code = run(words)
        structlog.reset_defaults()  # `run` logs to this test's stderr, which is gone with it
        out, err = self._capsys.readouterr()
        return Done(code, out, err)


def fill(ledger: Ledger, **changes: Any) -> str:
    """A batch of seven jobs, one of each fate; returns its id. Money as in `ledgers`."""
    rows = [new_job(row, tags={"season": SEASONS[row % 2]}) for row in range(1, 8)]
    batch_id = open_batch(ledger, rows, budget=10**9, **{"name": "autumn", **changes})
    endings = (succeeded, succeeded, image_lost, refused, rejected, unknown, throttled)
    for end in endings:
        book(ledger, end(admit_one(ledger, batch_id).attempt_id))
    return batch_id
