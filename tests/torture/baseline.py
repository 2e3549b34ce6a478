"""The same blows to a plain Celery queue (benchmarks/plain_celery.py): same endpoint, same servers, same kills.

Only FLUSHALL is left out: it would take every waiting row with it, and there is no need to show that.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
from kombu.exceptions import OperationalError as BrokerError

from benchmarks.plain_celery import TABLE, TASK, VISIBILITY_S, make_app
from tests.torture.children import Child
from tests.torture.run import Log
from tests.torture.schedule import TO_WORKERS, Blow
from tests.torture.servers import Servers
from tests.torture.stage import Stage
from tests.torture.timers import Timers
from tests.torture.verdict import Verdict
from tests.torture.workers import Workers

PORTION = 200
LEFT = "SELECT count(*) AS rows FROM rows WHERE state IN ('queued', 'running')"


@dataclass(slots=True)
class Books:
    """What the endpoint billed, row by row."""

    calls: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, journal: list[dict[str, Any]]) -> "Books":
        """The id of a call is `<row>-<try>`."""
        books = cls()
        for line in journal:
            if line["kind"] == "call" and line["amount_nanodollars"]:
                row = line["attempt_id"].partition("-")[0]
                books.calls[row] += 1
                books.amounts[row] += line["amount_nanodollars"]
        return books


class Baseline:
    """One torture of a plain queue: `go` strikes, `drain` lets everything end, `judge` counts."""

    def __init__(self, stage: Stage, keep_jobs: int) -> None:
        assert stage.redis is not None
        self.log = Log()
        self._stage = stage
        self._keep_jobs = keep_jobs
        self._timers = Timers()
        self._servers = Servers(stage.postgres, stage.redis, self._timers)
        self._workers = Workers(
            stage.machines, self._timers, self.log.done, self._start, lambda child: None, lambda child: None
        )
        self._app = make_app(stage.redis.url)
        self._numbers = count(1)
        self._unsent: list[int] = []
        with psycopg.connect(stage.database_url, autocommit=True) as ledger:
            ledger.execute(TABLE)

    def go(self, blows: list[Blow], seconds: float) -> None:
        began_s = time.monotonic()
        waiting = [blow for blow in reversed(blows) if blow.kind != "redis_flush"]
        while (passed_s := time.monotonic() - began_s) < seconds:
            if waiting and waiting[-1].at_s <= passed_s and self._strike(waiting[-1]):
                self.log.done[waiting.pop().kind] += 1
            self._turn(supply=True)
        while not self._timers.empty:
            self._turn(supply=False)
        self._workers.let_go()

    def drain(self) -> None:
        """Until every row ended, or nothing has ended for so long that nothing will: messages of dead workers come
        back late, some time after the visibility timeout."""
        self._stage.set_faults({})
        left, moved_s, began_s = self._left(), time.monotonic(), time.monotonic()
        while left and time.monotonic() - moved_s < 10 * VISIBILITY_S:
            self._turn(supply=False)
            if (now := self._left()) != left:
                left, moved_s = now, time.monotonic()
        self.log.drained_after_s = time.monotonic() - began_s
        self._workers.stop(60)

    def judge(self) -> Verdict:
        rows = self._stage.books.ask("SELECT * FROM rows")
        journal = self._stage.journal.lines()
        books = Books.read(journal)
        return Verdict(
            jobs=len(rows),
            rows_lost=sum(row["state"] in ("queued", "running") for row in rows),
            calls=sum(line["kind"] == "call" for line in journal),
            calls_not_written=sum(max(0, books.calls[str(row["id"])] - row["paid_calls"]) for row in rows),
            extra_paid_calls=sum(max(0, calls - 1) for calls in books.calls.values()),
            doubts=0,
            billed=sum(books.amounts.values()),
            confirmed=sum(row["cost_nano"] for row in rows),
            billed_in_doubt=0,
        )

    def _strike(self, blow: Blow) -> bool:
        if blow.kind in TO_WORKERS:
            return self._workers.hit(blow)
        return self._servers.hit(blow) if blow.kind.startswith(("redis", "postgres")) else True

    def _turn(self, *, supply: bool) -> None:
        self._timers.run_due()
        self._workers.tend()
        if self._servers.up:
            self._timers.every("supply", 1.0, lambda: self._supply(supply))
        time.sleep(0.03)

    def _start(self, machine: int) -> Child:
        return self._stage.start_worker(machine, [], None, entry="benchmarks.plain_celery:main")

    def _left(self) -> int:
        (row,) = self._stage.books.ask(LEFT)
        return int(row["rows"])

    def _supply(self, more: bool) -> None:
        """Commit, then publish; what could not be published is tried again."""
        if more and self._left() < self._keep_jobs:
            rows = [next(self._numbers) for _ in range(PORTION)]
            prompts = [(row, f"a boat of row {row}") for row in rows]
            with psycopg.connect(self._stage.database_url) as ledger, ledger.cursor() as cursor:
                cursor.executemany("INSERT INTO rows (id, prompt) VALUES (%s, %s)", prompts)
            self._unsent += rows
        try:
            while self._unsent:
                self._app.send_task(TASK, args=[self._unsent[-1]])
                self._unsent.pop()
        except (BrokerError, OSError):
            self.log.done["publishing failed"] += 1
