"""Ctrl-C: once finishes what is paid for, twice leaves. Real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from worker.simulator import Simulator, SimulatorConfig, start_in_thread

ROW = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with start_in_thread(SimulatorConfig(latency_s=2.0)) as running:
        yield running


class Mill:
    """Commands as processes, on one data folder."""

    def __init__(self, home: Path, simulator: Simulator) -> None:
        self._home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
        own = {"ENDPOINT_URL": simulator.url, "API_KEY": "sk-x", "DATA_DIR": str(home / "data"), "IN_FLIGHT": "2"}
        self._environment = kept | {f"IMAGEMILL_{name}": value for name, value in own.items()}
        rows = [{**ROW, "id": str(number)} for number in range(6)]
        (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jobs.cli", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self._home, env=self._environment, stdout=pipe, stderr=pipe, text=True)

    def status(self) -> Any:
        with self.start("status", "last", "--json") as process:
            return json.loads(process.communicate(timeout=60)[0])


def wait_for_calls(progress: IO[str], running: int) -> None:
    """Read JSON progress until so many calls are in flight."""
    for line in progress:
        if line.startswith("{") and json.loads(line).get("jobs", {}).get("running") == running:
            return
    raise AssertionError("the run ended before its calls were in flight")


def test_once_finishes_the_calls_in_flight_and_says_how_to_go_on(tmp_path: Path, simulator: Simulator) -> None:
    mill = Mill(tmp_path, simulator)
    with mill.start("run", "rows.jsonl", "--progress", "json") as process:
        assert process.stderr
        wait_for_calls(process.stderr, 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Go on later: imagemill run b_" in err
    stands = mill.status()
    assert stands["jobs"]["running"] == 0
    assert stands["attempts"] == {"succeeded": stands["jobs"]["succeeded"]}
    assert stands["jobs"]["queued"] == 6 - stands["jobs"]["succeeded"] > 0


def test_twice_leaves_at_once_and_the_calls_stay_on_the_books(tmp_path: Path, simulator: Simulator) -> None:
    mill = Mill(tmp_path, simulator)
    with mill.start("run", "rows.jsonl", "--progress", "json") as process:
        assert process.stderr
        wait_for_calls(process.stderr, 2)
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "finishing the calls in flight" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "calls in flight are unknown now" in err
    stands = mill.status()
    assert stands["attempts"]["open"] == stands["jobs"]["running"] > 0
    assert stands["reserved_nanodollars"] > 0
