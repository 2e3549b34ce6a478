"""Where a run takes place: endpoint with journal, servers, folders, and the words to start a worker.

Pair `postgres`: PostgreSQL and Redis, each worker on a machine of its own (its own spool), one folder of images.
Pair `sqlite`: one data folder for all, no server; every worker is an `imagemill run` of some batch.
Pair `plain-celery`: the servers of the first, for the queue that imagemill is compared with.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.books import Books
from tests.crash.boundaries import JOURNAL as BOUNDARY_JOURNAL
from tests.faults.launch import tenfold_clock
from tests.services import PostgresServer, RedisServer
from tests.torture.children import Child, Start
from tests.torture.doom import Doom
from tests.torture.samples import Journal

FAULTS = {
    "429 0.3": 0.02,
    "503 0.3": 0.01,
    "500": 0.02,
    "408": 0.005,
    "400": 0.005,
    "refuse": 0.01,
    "timeout": 0.004,
    "reset": 0.006,
    "close": 0.004,
    "cut 0.6": 0.008,
    "hang-body 0.5": 0.003,
    "html-502": 0.005,
    "bad-json": 0.002,
    "slow 1.5": 0.02,
    "delay 2.5": 0.02,
    "url": 0.03,
    "file-fail 1": 0.01,
    "expired-url": 0.004,
    "empty": 0.004,
    "bad-image": 0.004,
}
"""What goes wrong at the endpoint, whoever is killed: about every fifth call."""
CAPS: dict[str, object] = {"read_timeout_s": 6, "deadline_s": 9, "in_flight": 8, "log_level": "info"}
"""Limits of a call: a hundredth of the usual ones, like the answer times."""
DOWNLOAD_S = 5.0
REAL_LEASE_S, FAST_LEASE_S = 60.0, 6.0


class Stage:
    """Everything a run needs from outside; a context manager that ends all of it."""

    def __init__(self, pair: str, home: Path, seed: int, *, real_clock: bool = False) -> None:
        self.pair = pair
        self.home = home
        self.lease_s = REAL_LEASE_S if real_clock else FAST_LEASE_S
        self.images = home / "images"
        self.journal = Journal(home / "journal.jsonl")
        self.faults: dict[str, Any] = {
            "constants": {"worker.executor:_DOWNLOAD_S": DOWNLOAD_S} | ({} if real_clock else tenfold_clock())
        }
        self.postgres: PostgresServer | None = None
        self.redis: RedisServer | None = None
        self._seed = seed
        self._stack = ExitStack()
        self._commands = 0

    def __enter__(self) -> Self:
        try:
            self.endpoint_url = self._start_endpoint()
            self.database_url = self._start_servers()
            self.books = Books(self.database_url)
            if self.pair != "plain-celery":
                code, _ = self.run("db", "upgrade")
                assert code == 0, (self.home / "commands.log").read_text()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def machines(self) -> int:
        """Places where a worker runs."""
        return 3 if self.pair == "sqlite" else 4

    def start_worker(
        self, machine: int, arguments: list[str], doom: Doom | None, entry: str = "jobs.cli:main"
    ) -> Child:
        log = self.home / f"worker-{machine}.log"
        environment = self._environment(machine)
        out = log.with_suffix(".out")
        return Child(Start(tuple(arguments), environment, self.home, log, out, self.faults, doom, entry))

    def start(self, arguments: list[str], doom: Doom | None = None) -> Child:
        """A command under way; `read_out` has its output."""
        self._commands += 1
        out = self.home / f"command-{self._commands}.out"
        log = self.home / "commands.log"
        return Child(Start(tuple(arguments), self._environment(0), self.home, log, out, self.faults, doom))

    def run(self, *arguments: str, within_s: float = 120.0) -> tuple[int, str]:
        """A command to its end: exit code and standard output."""
        child = self.start(list(arguments))
        code = child.wait(within_s)
        if code is None:
            child.kill()
            raise TimeoutError(f"{child} did not end within {within_s:.0f} s")
        return code, child.start.out.read_text()

    def set_faults(self, rates: Mapping[str, float]) -> None:
        """Change what goes wrong at the endpoint from now on."""
        body = json.dumps({"fault_rates": dict(rates)}).encode()
        root = self.endpoint_url.removesuffix("/v1")
        with urlopen(Request(f"{root}/sim/config", body, method="POST"), timeout=30) as answer:
            assert answer.status == 200

    def _environment(self, machine: int) -> dict[str, str]:
        data = self.home / (f"data-{machine}" if self.pair == "postgres" else "data")
        settings: dict[str, object] = {
            "data_dir": data,
            "storage_url": self.images,
            "database_url": self.database_url,
            "broker_url": self.redis.url if self.redis else None,
            "endpoint_url": self.endpoint_url,
            "api_key": "sk-torture",
            "allow_private_hosts": "127.0.0.1",
            **CAPS,
        }
        kept = {BOUNDARY_JOURNAL: str(self.journal.path)}
        kept |= {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
        return kept | {f"IMAGEMILL_{name.upper()}": str(v) for name, v in settings.items() if v is not None}

    def _start_servers(self) -> str:
        if self.pair == "sqlite":
            return f"sqlite:///{self.home / 'data' / 'ledger.db'}"
        self.redis = self._stack.enter_context(
            RedisServer(self._folder("redis"), appendonly=self.pair == "plain-celery")
        )
        self.postgres = self._stack.enter_context(PostgresServer(self._folder("postgres")))
        return self.postgres.new_database()

    def _folder(self, name: str) -> Path:
        """Outside the run's own, which the account of a server may not be able to enter."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"imagemill-{name}-")))

    def _start_endpoint(self) -> str:
        ready = self.home / "endpoint-url"
        options = [
            "--seed",
            str(self._seed),
            "--latency",
            "0.6",
            "--latency-sigma",
            "0.7",
            "--pictures",
            "prerendered",
        ]
        for words, rate in FAULTS.items():
            options += ["--fault", f"{words}={rate}"]
        command = [sys.executable, "-m", "worker.simulator", "--ready-file", str(ready), "--image-bytes", "4000"]
        with (self.home / "endpoint.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--journal", str(self.journal.path), *options], stdout=log, stderr=log
            )
        self._stack.callback(_end, process)
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the simulator did not start"
            time.sleep(0.05)
        return ready.read_text().strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
