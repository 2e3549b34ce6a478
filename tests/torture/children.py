"""Processes of imagemill that cost no imports: forked from a server that has loaded everything.

A worker started afresh burns about a second of processor time before its first call; one kill a second would then
measure Python's imports. A forked child runs the same command line, in its own session, with its own environment
and log, and dies with the run.
"""

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.launch import plant
from tests.torture.doom import Doom

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.torture.preload"])
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Start:
    """How a process is started. `log` takes its standard error, `out` its standard output."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    out: Path
    faults: Mapping[str, Any]
    doom: Doom | None = None
    entry: str = "jobs.cli:main"
    """The function that is given the arguments."""

    @property
    def mark(self) -> Path:
        """Is there once the process has met its doom."""
        return self.out.with_suffix(".doomed")


class Child:
    """A process under way, named by its pid; signals go to it alone."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self._process = _FORKS.Process(target=run_command, args=(start,), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def __str__(self) -> str:
        return f"imagemill {' '.join(self.start.arguments)} ({self.pid})"

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal that ended it."""
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self._process.join()

    def wait(self, within_s: float) -> int | None:
        """Its exit code, or None if it still runs after so long."""
        self._process.join(within_s)
        return self.exit_code


def run_command(start: Start) -> None:
    """The child: become the process that `start` describes."""
    os.setsid()
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.chdir(start.folder)
    _redirect(sys.stdout, start.out)
    _redirect(sys.stderr, start.log)
    os.environ.clear()
    os.environ.update(start.environment)
    sys.argv = ["imagemill", *start.arguments]
    plant(dict(start.faults))
    if start.doom:
        start.doom.plant(start.mark)
    module, _, name = start.entry.partition(":")
    getattr(importlib.import_module(module), name)(start.arguments)


def _redirect(stream: Any, path: Path) -> None:
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, stream.fileno())
    os.close(target)
    stream.reconfigure(line_buffering=True)
