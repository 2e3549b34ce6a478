"""The steps that cases are made of: processes started, stopped, outlived and succeeded on one site."""

import json
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.acceptance.waiting import wait_until
from tests.crash import aging
from tests.crash.boundaries import ROWS
from tests.crash.forked import Child, Order, Stop
from tests.crash.pairs import Site
from tests.crash.stops import Way
from tests.faults.launch import tenfold_clock
from tests.faults.powercut import Kept

PATIENCE_S = 120.0
MANIFEST = "rows.jsonl"
FINISHED = 3
"""Exit code of a run whose batch ended and not every job succeeded."""
_KILLS = (Way.KILL_BEFORE, Way.KILL_AFTER)
_CONSTANTS = tenfold_clock() | {
    "jobs.ledger.recovery:_REPLY_MAY_TAKE_MS": 4_000,
    "worker.network:SEND_WITHIN_S": 3.0,  # as ever below the time after which a reply counts as lost
}


class Play:
    """What happens on one site. `complaints` collects what went wrong on the way."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.broker = site.pair.broker is not None
        self.complaints: list[str] = []
        self._children: list[Child] = []
        self._marks = 0
        write_manifest(site.home / MANIFEST, str(site.home))

    def stop(self, place: str, way: Way, kept: Kept | None = None) -> Stop:
        self._marks += 1
        return Stop(place, way, self.site.home / f"reached-{self._marks}", kept)

    def start(self, command: str, stop: Stop | None = None, **constants: Any) -> Child:
        """`submit` and `run` of the manifest, or `work`. With a stop the first answers are booked together."""
        words = {"work": ("work",)}.get(command, (command, MANIFEST, "--json"))
        log = self.site.home / f"{len(self._children) + 1}-{command}.log"
        order = Order(
            arguments=words,
            env=self.site.env,
            home=self.site.home,
            log=log,
            constants=_CONSTANTS | {f"worker.dispatcher:{name}": value for name, value in constants.items()},
            stop=stop,
            together=ROWS if stop else 0,
        )
        child = Child(order)
        self._children.append(child)
        return child

    def start_worker(self, stop: Stop | None = None, **constants: Any) -> Child:
        """A worker that has registered."""
        worker = self.start("work", stop, **constants)
        wait_until(lambda: self._registered(worker), PATIENCE_S, lambda: f"a worker\n{self.tails()}")
        return worker

    def submit(self) -> None:
        """The manifest becomes a batch, if it is none yet."""
        self.wait_end(self.start("submit"), 0)

    def work_off(self, stop: Stop | None = None) -> Child:
        """The batch, and whoever makes its calls on this pair, under way."""
        if self.broker:
            self.submit()
        return self.go_on(stop)

    def go_on(self, stop: Stop | None = None) -> Child:
        """`run` submits by itself, which changes nothing any more; with a broker there are workers."""
        return self.start("work" if self.broker else "run", stop)

    def lose_a_machine(self) -> None:
        """Calls were sent, and their worker is gone with its disk."""
        self._die(self.stop("k7", Way.KILL_AFTER))
        shutil.rmtree(self.site.spool)

    def leave_swept_answers(self) -> None:
        """Answers lie in the spool of a dead worker, whose attempts have been swept to unknown."""
        self._die(self.stop("k11", Way.KILL_AFTER))
        aging.sweep(self.site.ledger_url)

    def see_out(self, victim: Child, stop: Stop, *, sweeps: bool = False) -> None:
        """Wait for the end of the process that was stopped; a survivor first has everything ended."""
        if sweeps:
            wait_until(lambda: self._registered(victim), PATIENCE_S, lambda: f"a sweeper\n{self.tails()}")
        if stop.way in _KILLS:
            self._until(lambda: victim.code is not None, "the kill", sweeps)
            if victim.code != -signal.SIGKILL:
                self.complaints.append(f"ended by {victim.code}, not by SIGKILL\n{self.tails()}")
        else:
            if victim.order.arguments[0] == "work":
                self._until(
                    lambda: victim.code is not None or (stop.mark.exists() and self.quiet()), "rest", sweeps
                )
                victim.send(signal.SIGTERM)
            self._until(lambda: victim.code is not None, "the end of the survivor", sweeps)
        if not stop.mark.exists():
            self.complaints.append(f"the boundary {stop.place} was never reached\n{self.tails()}")

    def recover(self, *, sweeps: bool = False, submit: bool = False) -> None:
        """Start again, until all has ended and nothing is left in the spool."""
        if self.broker and submit:
            self.submit()
        successor = self.go_on()
        if self.broker:
            self._until(lambda: self._registered(successor), "a successor", sweeps)
            self._until(lambda: self.quiet() and self._spool_is_clean(), "the end of the batch", sweeps)
            successor.send(signal.SIGTERM)
        self._until(lambda: successor.code is not None, "the end of the successor", sweeps)
        if successor.code != (0 if self.broker else FINISHED):
            self.complaints.append(f"the successor ended by {successor.code}\n{self.tails()}")

    def quiet(self) -> bool:
        """Every job of the batch has ended or waits for a person."""
        done = "SELECT count(*) FROM jobs WHERE state NOT IN ('queued', 'running')"
        running = "SELECT count(*) FROM attempts WHERE outcome IS NULL"
        return self.site.books.number(done) == ROWS and self.site.books.number(running) == 0

    def wait_end(self, child: Child, code: int) -> None:
        wait_until(lambda: child.code is not None, PATIENCE_S, lambda: f"the end\n{self.tails()}")
        assert child.code == code, f"{child.order.arguments} ended by {child.code}\n{self.tails()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing outlives the case."""
        for child in self._children:
            child.send(signal.SIGKILL)
        for child in self._children:
            wait_until(lambda child=child: child.code is not None, PATIENCE_S, "a child to die")

    def tails(self) -> str:
        logs = sorted(self.site.home.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def _die(self, stop: Stop) -> None:
        self.see_out(self.work_off(stop), stop)

    def _registered(self, child: Child) -> bool:
        alive = f"SELECT count(*) FROM workers WHERE pid = {child.pid} AND ended_at IS NULL"
        return child.code is not None or self.site.books.number(alive) > 0

    def _until(self, holds: Any, what: str, sweeps: bool) -> None:
        """Wait; where a sweep is the subject, time passes for the ledger meanwhile."""

        def looked() -> bool:
            if sweeps:
                aging.expire_first_worker(self.site.ledger_url)
            return bool(holds())

        wait_until(looked, PATIENCE_S, lambda: f"{what}\n{self.tails()}")

    def _spool_is_clean(self) -> bool:
        """Nothing but the live worker's own folder, without answers."""
        return len(list(self.site.spool.glob("*"))) <= 1 and not list(self.site.spool.glob("*/*[0-9]*"))


def write_manifest(path: Path, word: str) -> None:
    """The four rows of a case; `word` makes its prompts its own, by which its calls are known."""
    gpt = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low"}
    dalle = {"model": "dall-e-2", "size": "256x256"}
    rows = [
        gpt | {"id": "b64", "prompt": f"a kite {word}"},
        dalle | {"id": "url", "prompt": f"a boat {word}"},
        dalle | {"id": "four", "prompt": f"a fox {word}", "n": 4, "response_format": "b64_json"},
        gpt | {"id": "bad", "prompt": f"a wave {word} [[sim: 400]]"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
