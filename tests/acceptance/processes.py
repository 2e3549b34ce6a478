"""Processes of imagemill as a user starts them: own session, own log, ended by their pid whatever happens."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.acceptance.waiting import wait_until

BIN = Path(sys.executable).parent
"""Where the commands of this environment are."""


class Process:
    """A process under way. Its output, both streams together, is in `log`."""

    def __init__(self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(BIN / arguments[0]), *arguments[1:]],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the test run, which ends its processes itself
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, within_s: float) -> int:
        """The exit code; fails with the end of the log when the process goes on."""
        wait_until(lambda: not self.running, within_s, lambda: f"the end of {self.pid}\n{self.tail()}")
        return self._popen.returncode

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = 30.0) -> int:
        self.send(number)
        return self.wait(within_s)

    def crash(self) -> None:
        """SIGKILL, as a lost machine would look."""
        self._popen.kill()
        self._popen.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        return "\n".join(self.said().splitlines()[-25:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self.crash()
