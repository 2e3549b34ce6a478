"""What people do during a run, by real commands: submit, repeat a killed submission, pause, resume, cancel, retry.

No command is waited for; each turn of the run looks which have ended.
"""

import json
import time
from collections import Counter
from random import Random

from tests.torture.children import Child
from tests.torture.doom import Doom, submit_doom
from tests.torture.schedule import Blow
from tests.torture.stage import Stage
from tests.torture.supply import Lot, Supply
from tests.torture.timers import Timers

COMMANDS: dict[str, tuple[str, ...]] = {
    "pause": ("pause",),
    "resume": ("resume",),
    "cancel": ("cancel", "--yes"),
    "retry_held": ("retry", "--held", "--yes"),
    "retry_failed": ("retry", "--failed", "--yes"),
}
RECENT = 12
"""The batches that people look after: the last ones."""


class People:
    """Everybody at the command line."""

    def __init__(self, stage: Stage, supply: Supply, timers: Timers, done: Counter[str]) -> None:
        self.odd_exits: list[str] = []
        self._stage = stage
        self._supply = supply
        self._timers = timers
        self._done = done
        self._submitting: list[tuple[Lot, Child, float | None]] = []
        self._deciding: list[Child] = []

    @property
    def idle(self) -> bool:
        return not (self._submitting or self._deciding)

    @property
    def rows_under_way(self) -> int:
        """Of manifests that are being submitted."""
        return sum(lot.rows for lot, _, _ in self._submitting)

    def act(self, blow: Blow) -> None:
        match blow.kind:
            case "submit_killed":  # somewhere on its way; the same command again must find or make the same batch
                lot, doomed = self._supply.next_lot(), blow.pick < 0.5
                doom = submit_doom(Random(blow.pick)) if doomed else None
                self.submit(lot, None if doomed else blow.pick * 0.8, doom)
            case "submit_twice":
                if lots := self._supply.accepted:
                    self.submit(lots[int(blow.pick * len(lots))])
            case kind:
                self._decide(blow, *COMMANDS[kind])

    def submit(self, lot: Lot, kill_after_s: float | None = None, doom: Doom | None = None) -> None:
        kill_at_s = None if kill_after_s is None else time.monotonic() + kill_after_s
        self._submitting.append((lot, self._stage.start(lot.arguments, doom), kill_at_s))

    def tend(self) -> None:
        for one in list(self._submitting):
            lot, child, kill_at_s = one
            if child.exit_code is not None:
                self._submitting.remove(one)
                self._submitted(lot, child)
            elif kill_at_s is not None and time.monotonic() >= kill_at_s:
                child.kill()
        for child in [one for one in self._deciding if one.exit_code is not None]:
            self._deciding.remove(child)
            if child.exit_code not in (0, 1):  # 1: the ledger was away
                self.odd_exits.append(f"{child}: exit {child.exit_code}")

    def resume_everything(self) -> None:
        """Budgets are raised and pauses lifted, so that every job can end."""
        for lot in self._supply.accepted:
            self._stage.run("resume", str(lot.batch), "--budget", "100000")

    def _decide(self, blow: Blow, verb: str, *flags: str) -> None:
        """A command on one of the last batches. It may find nothing to move."""
        lots = self._supply.accepted[-RECENT:]
        if lots:
            lot = lots[int(blow.pick * len(lots))]
            lot.retries += verb == "retry"
            self._deciding.append(self._stage.start([verb, str(lot.batch), *flags]))

    def _submitted(self, lot: Lot, child: Child) -> None:
        if child.exit_code == 0:
            lot.answered(json.loads(child.start.out.read_text().splitlines()[-1]))
        elif child.exit_code == 2:
            self.odd_exits.append(f"{child}: the manifest was not taken")
        else:  # killed, or the ledger was away: a person tries again
            self._done["submissions repeated"] += 1
            self._timers.after(0.5, lambda: self.submit(lot))
