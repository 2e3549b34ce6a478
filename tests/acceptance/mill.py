"""One imagemill of a test: its folder, its settings, its processes, and the simulator that it calls.

Everything goes through commands and signals, as with a user; what happened is read from the ledger by plain SQL,
from the simulator's journal and from the disk.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs.ledger.engine import Ledger
from jobs.ledger.recount import differences
from tests.acceptance.processes import BIN, Process
from tests.acceptance.waiting import wait_until
from tests.books import Books
from tests.checker import check
from tests.faults import launch
from worker.simulator.running import Simulator

KEY = "sk-canary-6f1d0c5be7a94d0b8c3e"
"""The API key. It may show nowhere but in the calls."""
ROOT = Path(__file__).parents[2]
"""Where processes with faults find the faults."""
FOUND_WITHIN_S = 90.0
"""What is promised for the death of a worker: its calls are held by then."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The last line of the output, read."""
        return json.loads(self.out.splitlines()[-1])


class Mill:
    """A data folder with settings; a context manager that ends every process it started."""

    def __init__(
        self,
        home: Path,
        simulator: Simulator,
        *,
        database_url: str | None = None,
        broker_url: str | None = None,
        **settings: object,
    ) -> None:
        self.home = home
        self.simulator = simulator
        self.data = home / "data"
        self.books = Books(database_url or f"sqlite:///{self.data / 'ledger.db'}")
        self.env = _environment(
            {
                "data_dir": self.data,
                "database_url": database_url,
                "broker_url": broker_url,
                "endpoint_url": simulator.url,
                "api_key": KEY,
                "allow_private_hosts": f"127.0.0.1:{simulator.port}",
                **settings,
            }
        )
        self._stack = ExitStack()
        self._started = 0

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def logs(self) -> list[Path]:
        return sorted(self.home.glob("*.log"))

    def write(self, rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        """A manifest of these rows."""
        path = self.home / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        return path

    def run(self, *arguments: str | Path, expect: int | None = 0, within_s: float = 60.0) -> Done:
        """A command to its end; fails on another exit code than expected (None: any)."""
        ended = subprocess.run(
            [BIN / "imagemill", *map(str, arguments)],
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        assert expect in (None, done.code), f"exit {done.code}, not {expect}\n{done.out}\n{done.err}"
        return done

    def start(self, *arguments: str | Path, program: str = "imagemill", **settings: object) -> Process:
        """A command under way, with some settings of its own."""
        self._started += 1
        log = self.home / f"{self._started}-{arguments[0]}.log"
        env = self.env | _variables(settings)
        process = Process([program, *map(str, arguments)], env=env, cwd=self.home, log=log)
        return self._stack.enter_context(process)

    def start_faulty(self, faults: dict[str, Any], *arguments: str | Path, **settings: object) -> Process:
        """A command of imagemill under way, with faults planted in its process: see `tests.faults.launch`."""
        return self.start(*launch.command(faults, *map(str, arguments)), program="python", **settings)

    def start_worker(
        self, *, plain: bool = False, faults: dict[str, Any] | None = None, **settings: object
    ) -> Process:
        """`imagemill work`, or plain Celery, or one with faults planted in it, up and registered in the ledger."""
        if plain:
            worker = self.start("-A", "worker.app", "worker", program="celery", **settings)
        else:
            worker = self.start_faulty(faults, "work", **settings) if faults else self.start("work", **settings)
        wait_until(
            lambda: (
                self.books.number(f"SELECT count(*) FROM workers WHERE pid = {worker.pid}") or not worker.running
            ),
            30,
            lambda: f"the worker to register\n{worker.tail()}",
        )
        assert worker.running, worker.tail()
        return worker

    def submit(self, rows: Sequence[dict[str, Any]], *flags: str, name: str = "rows.jsonl") -> str:
        """`imagemill submit`; returns the batch's id."""
        done = self.run("submit", self.write(rows, name), "--json", *flags)
        return str(done.json()["batch"])

    def settled_jobs(self) -> int:
        """Jobs that ended or wait for a person."""
        return self.books.number("SELECT count(*) FROM jobs WHERE state NOT IN ('queued', 'running')")

    def open_attempts(self) -> int:
        return self.books.number("SELECT count(*) FROM attempts WHERE outcome IS NULL")

    def calls_in_flight(self) -> int:
        """Calls that the simulator has taken and not answered."""
        ended = {line["request_id"] for line in self.simulator.lines("end")}
        return sum(line["request_id"] not in ended for line in self.simulator.calls())

    def outcomes(self) -> dict[str, int]:
        """Attempts by outcome; `None` counts the open ones."""
        rows = self.books.ask("SELECT outcome, count(*) AS number FROM attempts GROUP BY outcome")
        return {str(row["outcome"]): int(row["number"]) for row in rows}

    def states(self) -> dict[str, int]:
        """Jobs by state."""
        rows = self.books.ask("SELECT state, count(*) AS number FROM jobs GROUP BY state")
        return {str(row["state"]): int(row["number"]) for row in rows}

    def wait_done(self, jobs: int, within_s: float) -> None:
        """Until that many jobs ended or wait for a person."""
        wait_until(
            lambda: self.settled_jobs() >= jobs, within_s, lambda: f"{jobs} jobs: {self.states()}\n{self.tails()}"
        )

    def check(self, *, at_rest: bool = True) -> None:
        """Ledger, journal and files tell one story; the product's own recount agrees."""
        spool = self.data / "spool"
        found = check(self.books.snapshot(), self.simulator.lines(), self.images, spool=spool, at_rest=at_rest)
        assert not found, "\n".join(found)
        assert recounted(self.books.url) == []

    def spooled(self) -> list[str]:
        """What is left in the spool."""
        return sorted(str(path) for path in (self.data / "spool").rglob("*") if path.is_file())

    def tails(self) -> str:
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in self.logs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def recounted(ledger_url: str) -> list[str]:
    """What `imagemill db check` finds, without the second that a process takes to start."""
    ledger = Ledger(ledger_url)
    try:
        with ledger.read() as tx:
            return differences(tx)
    finally:
        ledger.close()


def _environment(settings: dict[str, object]) -> dict[str, str]:
    """Ours without any setting of imagemill, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEMILL_")}
    return kept | _variables(settings) | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}


def _variables(settings: dict[str, object]) -> dict[str, str]:
    return {f"IMAGEMILL_{name.upper()}": str(value) for name, value in settings.items() if value is not None}
