"""Private servers for benchmarks: PostgreSQL, Redis, and simulators in processes of their own.

Each is a context manager with a folder and loopback port of its own, and gone with the benchmark however that
ends. The servers are those of tests/services, with PostgreSQL sized and logged as in production.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.processes import wait_until
from tests.services import PostgresServer, RedisServer

STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None)

POSTGRES_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
"""Durable; room so that a short run does not measure checkpoints. Everything else as PostgreSQL comes."""


class BenchPostgres(PostgresServer):
    """The tests' private cluster with the settings above, and more where a benchmark asks for it."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._settings = POSTGRES_SETTINGS | dict(settings)

    def command(self) -> list[str]:
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        return [*super().command(), *options]


class BenchRedis(RedisServer):
    """The tests' private Redis with more of its options."""

    def __init__(self, folder: Path, options: Sequence[str], *, appendonly: bool) -> None:
        super().__init__(folder, appendonly=appendonly)
        self._options = options

    def command(self) -> list[str]:
        return [*super().command(), *self._options]


@contextmanager
def postgres(**settings: str) -> Iterator[BenchPostgres]:
    """`new_database()` makes databases; `settings` are those of postgresql.conf."""
    prefix = "imagemill-postgres-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder, BenchPostgres(Path(folder), settings) as server:
        yield server


@contextmanager
def redis(*options: str, appendonly: bool = True) -> Iterator[RedisServer]:
    """`options` as on the command line of redis-server."""
    prefix = "imagemill-redis-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as folder,
        BenchRedis(Path(folder), options, appendonly=appendonly) as server,
    ):
        yield server


@dataclass(frozen=True, slots=True)
class Simulator:
    url: str
    pid: int


@contextmanager
def simulator(
    *options: str, latency_s: float = 0.5, image_bytes: int = 4_000, prefix: Sequence[str] = ()
) -> Iterator[Simulator]:
    """The endpoint simulator with pre-rendered answers; `prefix` goes before the command: `ip netns exec ...`."""
    with tempfile.TemporaryDirectory(prefix="imagemill-simulator-") as folder:
        ready = Path(folder) / "url"
        command = [*prefix, sys.executable, "-m", "worker.simulator", "--ready-file", str(ready)]
        pictures = ["--latency", str(latency_s), "--pictures", "prerendered", "--image-bytes", str(image_bytes)]
        with program([*command, *pictures, *options]) as process:
            wait_until(
                lambda: ready.exists() or process.poll() is not None, STARTS_WITHIN_S, "the simulator's start"
            )
            if not ready.exists():
                raise SystemExit("the simulator did not start")
            yield Simulator(ready.read_text().strip(), process.pid)


@contextmanager
def program(
    command: Sequence[str], *, log: IO[bytes] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that gets SIGTERM at the end of the block, and dies with the thread that started it."""
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=log or subprocess.DEVNULL,
        stderr=log or None,
        env={**os.environ, **(environment or {})},
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call into a library that is loaded already
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with_parent() -> None:
    _LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL)
