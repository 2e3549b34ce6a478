"""Deaths at a boundary: a process that will kill itself just before, or just after, a step of the protocol.

Half of all kills come at random times, which mostly hit the long waits; the other half are drawn from the sweep's
table of boundaries, so that the short moments between two steps are met as often.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.crash.boundaries import PLACES
from tests.crash.stops import Way, plant

WORKER_PLACES = tuple(f"k{k}" for k in range(4, 16))
SUBMIT_PLACES = ("k1", "k2")
KILLS = (Way.KILL_BEFORE, Way.KILL_AFTER)


@dataclass(frozen=True, slots=True)
class Doom:
    """Where a process dies, and how many seconds it works before it looks out for the place."""

    place: str
    way: Way
    after_s: float

    def plant(self, mark: Path) -> None:
        """In the process itself. `mark` is touched when it dies there."""
        if self.after_s == 0:
            plant(PLACES[self.place], self.way, mark)
            return
        timer = threading.Timer(self.after_s, plant, (PLACES[self.place], self.way, mark))
        timer.daemon = True
        timer.start()


def worker_doom(random: Random) -> Doom | None:
    """For every second worker."""
    doom = Doom(random.choice(WORKER_PLACES), random.choice(KILLS), random.uniform(0.5, 3.0))
    return doom if random.random() < 0.5 else None


def submit_doom(random: Random) -> Doom:
    return Doom(random.choice(SUBMIT_PLACES), random.choice(KILLS), 0.0)
