"""One private server process: started, awaited, stopped, crashed and started again on the same port.

The base of RedisServer and PostgresServer, which say how their program is called and when it is ready. The
process cannot outlive the test run: a guard watches for our end, however it comes.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

READY_WITHIN_S = 60.0
GONE_WITHIN_S = 60.0

# Blocks until the pipe from the test run closes, which even its SIGKILL does, then ends the server.
GUARD = 'read -r never; kill -s "$1" "$2"; sleep 5; rm -rf "$3"'


class ServerError(Exception):
    """A server did not start or end as it should; carries the end of its log."""


class Server(ABC):
    """A server that keeps its port and its folder from start to start."""

    stop_signal = signal.SIGTERM
    """Asks for an orderly end."""
    crash_signal = signal.SIGKILL
    """Ends the server as a loss of power would: nothing is written any more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; asked anew at every start."""

    def popen_options(self) -> dict[str, Any]:
        """What else subprocess is told: another account, another environment."""
        return {}

    @abstractmethod
    def answers(self) -> bool:
        """Whether a client is served right now."""

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it answers. A server that runs already is left alone."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the test run; it ends us in order
                **self.popen_options(),
            )
        self._guard = self._watch()
        try:
            self._wait_until(self.answers, READY_WITHIN_S, "did not answer")
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def stop(self) -> None:
        """End in order; what the server promises to keep is kept. No-op when it does not run."""
        self._end(self.stop_signal)

    def crash(self) -> None:
        """End without warning; `start` then recovers what was durable."""
        self._end(self.crash_signal)

    def restart(self) -> None:
        """Stop and start on the same port; clients lose their connections."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> subprocess.Popen[bytes]:
        name = self.stop_signal.name.removeprefix("SIG")
        return subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", name, str(self.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._dismiss_guard()
        if self.running:
            os.kill(self.pid, how)
        try:
            self._process.wait(GONE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerError(f"{self._name()} did not end after {how.name}\n{self._log_end()}") from None
        finally:
            self._process = None

    def _dismiss_guard(self) -> None:
        """Before the server's pid can become another's."""
        if self._guard is None:
            return
        self._guard.kill()
        self._guard.wait()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard = None

    def _wait_until(self, holds: Callable[[], bool], seconds: float, complaint: str) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if not self.running:
                raise ServerError(f"{self._name()} ended at once\n{self._log_end()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self._name()} {complaint} within {seconds:.0f} s\n{self._log_end()}")
            time.sleep(0.01)

    def _name(self) -> str:
        return f"{type(self).__name__} on port {self.port}"

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def free_port() -> int:
    """A loopback port below the range that systems hand out by themselves.

    Neither server takes port 0, and a port of that range could go to somebody's outgoing connection while the
    server is stopped in the middle of a test.
    """
    for port in random.sample(range(15000, 30000), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerError("no free loopback port between 15000 and 30000")
