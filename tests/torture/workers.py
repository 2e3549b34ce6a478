"""The workers of a run: started wherever a machine is free, and hit as the schedule says."""

import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.torture.children import Child
from tests.torture.machines import Machine
from tests.torture.schedule import Blow
from tests.torture.timers import Timers


class Workers:
    """Keeps every machine busy. `start` makes a worker for a machine, or None when there is nothing to work on;
    `on_kill` is told each process that was killed, once it is gone."""

    def __init__(
        self,
        machines: int,
        timers: Timers,
        done: Counter[str],
        start: Callable[[int], Child | None],
        on_kill: Callable[[Child], None],
        on_exit: Callable[[Child], None],
    ) -> None:
        self.machines = [Machine(number) for number in range(1, machines + 1)]
        self._timers = timers
        self._done = done
        self._start = start
        self._on_kill = on_kill
        self._on_exit = on_exit

    def tend(self) -> None:
        """See who ended, wake who was frozen long enough, start where nobody is."""
        for machine in self.machines:
            child = machine.child
            ended = child.exit_code if child else None  # asked once: it may end between two questions
            if child and ended == -signal.SIGKILL and child.start.doom:
                self._done[f"killed at {child.start.doom.place}"] += 1
                self._count_kill(machine, child, 0.0)
            elif child and ended is not None:
                self._on_exit(child)
                machine.clear(0.0 if ended == 0 else 0.5)
            elif machine.thaws_at_s is not None and time.monotonic() >= machine.thaws_at_s:
                machine.thaw()
            elif machine.overdue:
                self._done["workers that did not end after SIGTERM"] += 1
                self.kill(machine, 0.0)
            if machine.may_start and (fresh := self._start(machine.number)):
                machine.put(fresh)

    def kill(self, machine: Machine, back_s: float) -> None:
        assert machine.child is not None
        machine.child.kill()
        self._count_kill(machine, machine.child, back_s)

    def hit(self, blow: Blow) -> bool:
        """False: nobody is there to be hit."""
        victims = [machine for machine in self.machines if machine.hittable]
        if not victims:
            return False
        victim = victims[int(blow.pick * len(victims))]
        match blow.kind:
            case "kill_all":
                for machine in victims:  # with nobody left, recovery begins with the next start
                    self.kill(machine, min(blow.back_s, 0.5))
            case "kill_twice":
                self.kill(victim, 0.0)
                self._timers.after(blow.lasts_s / 8, lambda: self._kill_if_up(victim))
            case "term":
                victim.terminate()
            case "freeze":
                victim.freeze(blow.lasts_s)
            case "freeze_then_kill":
                victim.freeze(blow.lasts_s + 1)
                self._timers.after(blow.lasts_s, lambda: self._kill_if_up(victim))
            case _:
                self.kill(victim, blow.back_s)
        return True

    def let_go(self) -> None:
        """Undo what still lasts."""
        for machine in self.machines:
            if machine.thaws_at_s is not None:
                machine.thaw()

    def stop(self, within_s: float) -> list[Child]:
        """SIGTERM to all; returns them when they have ended, or when that has taken too long."""
        up = [machine.child for machine in self.machines if machine.child is not None]
        for child in up:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + within_s
        for child in up:
            child.wait(max(0.0, deadline - time.monotonic()))
        return up

    def _count_kill(self, machine: Machine, child: Child, back_s: float) -> None:
        self._done["kills"] += 1
        self._on_kill(child)
        machine.clear(back_s)

    def _kill_if_up(self, machine: Machine) -> None:
        if machine.child is not None and machine.child.exit_code is None and machine.terminated_s is None:
            self.kill(machine, 0.0)
