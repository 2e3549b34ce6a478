"""imagemill as its users run it: `imagemill work` processes over PostgreSQL and Redis, fed by `imagemill submit`.

Called by the benchmarks of workers as processes. Every command gets its settings by the environment; each worker
has a data folder of its own, as on a machine of its own, and all share one folder of images.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, LiteralString

import psycopg

from benchmarks.services import program

REQUEST = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low"}
COMMAND = (str(Path(sys.executable).with_name("imagemill")),)
LIVE = "SELECT count(*) FROM workers WHERE ended_at IS NULL"
ENDED = "SELECT coalesce(sum(jobs), 0)::bigint FROM job_tallies WHERE state IN ('succeeded', 'failed', 'held')"


class Mill:
    """One ledger and what works on it. `close` ends the connection that counts."""

    def __init__(self, folder: Path, database_url: str, broker_url: str, endpoint_url: str) -> None:
        self._folder = folder
        self._environment = {
            "IMAGEMILL_DATABASE_URL": database_url,
            "IMAGEMILL_BROKER_URL": broker_url,
            "IMAGEMILL_ENDPOINT_URL": endpoint_url,
            "IMAGEMILL_API_KEY": "bench",
            "IMAGEMILL_STORAGE_URL": str(folder / "images"),
            "IMAGEMILL_DATA_DIR": str(folder / "submitter"),
            "IMAGEMILL_LOG_LEVEL": "warning",
        }
        self.command("db", "upgrade")
        self.looks = 0
        """Transactions of these questions, which are the benchmark's own."""
        self._sql = psycopg.connect(database_url, autocommit=True)

    def close(self) -> None:
        self._sql.close()

    def command(self, *words: str) -> str:
        """Run `imagemill ...`; its standard output. Raises SystemExit when it fails."""
        environment = os.environ | self._environment
        command = [*COMMAND, *words]
        done = subprocess.run(
            command, env=environment, cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"imagemill {words[0]} failed:\n{done.stderr}")
        return done.stdout

    def submit(self, jobs: int) -> str:
        """A batch of so many rows; its id."""
        manifest = self._folder / "manifest.jsonl"
        with manifest.open("w") as lines:
            for number in range(jobs):
                lines.write(json.dumps({"prompt": f"studio photo of a cup, number {number}", **REQUEST}) + "\n")
        return str(json.loads(self.command("submit", str(manifest), "--again", "--json"))["batch"])

    @contextmanager
    def running(self, *words: str, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
        """`imagemill ...` for the block, what it says in `log`."""
        with program([*COMMAND, *words], log=log, environment=self._environment) as process:
            yield process

    @contextmanager
    def worker(
        self, name: str, in_flight: int, *, prefix: Sequence[str] = (), **settings: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """One `imagemill work` process, for the block; `settings` are further variables, `prefix` goes before the
        command. When the benchmark gives up, the end of the worker's log is shown."""
        own = {"IMAGEMILL_IN_FLIGHT": str(in_flight), "IMAGEMILL_DATA_DIR": str(self._folder / name)}
        environment = self._environment | own | settings
        command, told = [*prefix, *COMMAND, "work"], self._folder / f"{name}.log"
        with told.open("ab") as log, program(command, log=log, environment=environment) as process:
            try:
                yield process
            except SystemExit:
                print(f"{name}:", *told.read_text(errors="replace").splitlines()[-5:], sep="\n  ", file=sys.stderr)
                raise

    def ended(self) -> int:
        """Jobs that have ended so far."""
        return self._count(ENDED)

    def live_workers(self) -> int:
        """Workers that have registered and not ended."""
        return self._count(LIVE)

    def _count(self, statement: LiteralString) -> int:
        self.looks += 1
        row = self._sql.execute(statement).fetchone()
        assert row is not None
        return int(row[0])
