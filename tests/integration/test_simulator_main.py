"""The command starts, says where it listens, journals, and ends cleanly on a signal."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from worker.simulator.__main__ import command

COMMAND = [sys.executable, "-W", "error", "-m", "worker.simulator"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    journal, ready = tmp_path / "journal.jsonl", tmp_path / "ready"
    options = ["--journal", str(journal), "--ready-file", str(ready), "--fault", "429 0.5=1", "--seed", "3"]
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words, url = process.stdout.readline().strip().rsplit(" ", 1)
        assert words == "listening on"
        answer = httpx.post(
            f"{url}/images/generations",
            json={"model": "gpt-image-1", "prompt": "a fox"},
            headers={"Authorization": "Bearer k"},
        )
        wait_for(ready)
    finally:
        process.send_signal(number)
        _, remarks = process.communicate(timeout=20)
    assert (process.returncode, remarks) == (0, "")
    assert ready.read_text().strip() == url
    assert (answer.status_code, answer.headers["retry-after-ms"]) == (429, "500")
    assert [json.loads(line)["kind"] for line in journal.read_text().splitlines()] == ["call", "end"]


def wait_for(path: Path) -> None:
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        ("refuze=0.1", "did you mean 'refuse'"),
        ("500", "unknown fault"),
        ("500=often", "could not convert"),
        ("500=2", "from 0 to 1"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(rate: str, told: str) -> None:
    result = CliRunner().invoke(command, ["--fault", rate])
    assert result.exit_code == 2
    assert told in result.output


def test_the_help_shows_an_example() -> None:
    assert "imagemill simulate --port 8099" in CliRunner().invoke(command, ["--help"]).output
