"""When what happens to whom: every blow of a run, drawn in advance from its seed. Pure.

`pick` in [0, 1) chooses the victim among those there are when the moment has come, so that one seed gives the same
run on any machine, up to the machine's own speed.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal[
    "kill",
    "kill_twice",
    "kill_all",
    "term",
    "freeze",
    "freeze_then_kill",
    "redis_flush",
    "redis_restart",
    "redis_freeze",
    "postgres_crash",
    "pause",
    "resume",
    "cancel",
    "retry_held",
    "retry_failed",
    "submit_killed",
    "submit_twice",
]
TO_WORKERS: dict[Kind, float] = {
    "kill": 80,
    "kill_twice": 6,
    "kill_all": 2,
    "term": 6,
    "freeze": 4,
    "freeze_then_kill": 2,
}
"""What happens to workers, by weight. As many again die by a doom of their own."""
BY_PEOPLE: dict[Kind, float] = {
    "pause": 2,
    "resume": 3,
    "cancel": 0.5,
    "retry_held": 2,
    "retry_failed": 1,
    "submit_killed": 2,
    "submit_twice": 1,
}
"""What people do, times a minute."""
TO_SERVERS: dict[Kind, float] = {"redis_flush": 1, "redis_restart": 0.5, "redis_freeze": 0.5, "postgres_crash": 0.5}
"""What happens to the servers, times a minute; only where there are any."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that happens. Seconds since the run began; durations in seconds."""

    at_s: float
    kind: Kind
    pick: float
    lasts_s: float
    """How long a worker or server stays frozen or down."""
    back_s: float
    """How long after its death a worker is started again."""


def schedule(
    seed: int, seconds: float, *, servers: bool, lease_s: float = 6.0, blows_per_s: float = 0.5
) -> list[Blow]:
    """All blows of a run, in order. `blows_per_s` is for leases of 6 s; with longer ones all is as much rarer,
    or those who are frozen past their lease would soon be all there are."""
    random = Random(seed)
    scale = 6.0 / lease_s
    blows = list(_blows(random, TO_WORKERS, blows_per_s * scale, seconds, lease_s))
    others = BY_PEOPLE | TO_SERVERS if servers else BY_PEOPLE
    for kind, per_minute in others.items():
        blows += _blows(random, {kind: 1.0}, per_minute / 60 * scale, seconds, lease_s)
    return sorted(blows, key=lambda blow: blow.at_s)


def _blows(random: Random, kinds: dict[Kind, float], per_s: float, seconds: float, lease_s: float) -> list[Blow]:
    blows, at_s = [], random.expovariate(per_s)
    while at_s < seconds:
        (kind,) = random.choices(list(kinds), list(kinds.values()))
        blows.append(Blow(at_s, kind, random.random(), _lasts_s(random, kind, lease_s), _back_s(random, lease_s)))
        at_s += random.expovariate(per_s)
    return blows


def _lasts_s(random: Random, kind: Kind, lease_s: float) -> float:
    """Frozen workers stay so past their lease; a database is away for moments, a broker for longer."""
    if kind in ("freeze", "freeze_then_kill"):
        return lease_s * random.uniform(1.2, 2.0)
    return random.uniform(0.3, 3.0) if kind == "postgres_crash" else random.uniform(1.0, 8.0)


def _back_s(random: Random, lease_s: float) -> float:
    """Most are back at once; some machines stay away until others have swept what they held."""
    return random.uniform(0.0, 0.5) if random.random() < 0.85 else lease_s * random.uniform(1.0, 2.0)
