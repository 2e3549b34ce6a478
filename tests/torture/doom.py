"""Deaths at a boundary: a process that will kill itself just before, or just after, a step of the protocol.

Half of all kills come at random times, which mostly hit the long waits; the other half are drawn from the sweep's
table of boundaries, so that the short moments between two steps are met as often.
"""

import time
from dataclasses import dataclass, replace
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
        """In the process itself, before it begins. `mark` is touched when it dies there."""
        place, armed_s = PLACES[self.place], time.monotonic() + self.after_s
        counts = place.counts
        armed = replace(place, counts=lambda *args: time.monotonic() >= armed_s and counts(*args))
        plant(armed, self.way, mark)


def worker_doom(random: Random) -> Doom | None:
    """For every second worker."""
    place, works_s = random.choice(WORKER_PLACES), random.uniform(0.5, 3.0)
    doom = Doom(place, random.choice(KILLS), 0.0 if place == "k4" else works_s)  # k4 comes but once, at the start
    return doom if random.random() < 0.5 else None


def submit_doom(random: Random) -> Doom:
    return Doom(random.choice(SUBMIT_PLACES), random.choice(KILLS), 0.0)
