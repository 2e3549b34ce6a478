"""A fleet that asks for permits, and an endpoint that limits it, on a simulated clock: a seed, a course of events.

What a real fleet adds to the pure functions is here as numbers drawn from the seed: workers wake late, commits and
the network take their time, a 429 is learned from a little later, calls hold slots for as long as they last.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from jobs.pace import LetIn
from jobs.pacing import Caps, Limits, in_step, take, throttled, wait_ms, with_caps, without_caps

START_MS = 1_700_000_000_000
BREATH_MS = 50
POLL_MS = 5_000

Limiter = Callable[[float, int], float]
"""(seconds, images) -> 0 for a call that is let in, else the seconds until one would be."""


def strict(per_minute: float) -> Limiter:
    """No bursts: calls at least a minute / `per_minute` apart."""
    free_at = -1e9

    def let_in(now_s: float, images: int) -> float:
        nonlocal free_at
        if now_s < free_at:
            return free_at - now_s
        free_at = now_s + images * 60 / per_minute
        return 0.0

    return let_in


def bucket(per_minute: float, holds: float) -> Limiter:
    """A token bucket that holds so many images."""
    level, seen_s = holds, 0.0

    def let_in(now_s: float, images: int) -> float:
        nonlocal level, seen_s
        level, seen_s = min(holds, level + (now_s - seen_s) * per_minute / 60), now_s
        if level < images:
            return (images - level) * 60 / per_minute
        level -= images
        return 0.0

    return let_in


def window(per_minute: float) -> Limiter:
    """So many images in each minute of the clock."""
    minute, used = -1, 0.0

    def let_in(now_s: float, images: int) -> float:
        nonlocal minute, used
        if int(now_s // 60) != minute:
            minute, used = int(now_s // 60), 0.0
        if used + images > per_minute:
            return 60 - now_s % 60
        used += images
        return 0.0

    return let_in


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the endpoint saw it; seconds from the start."""

    arrived_s: float
    let_in: bool
    images: int = 1


@dataclass
class Fleet:
    """`run(s)` lets so many seconds pass; `calls` is what the endpoint saw."""

    limiter: Limiter
    seed: int = 0
    workers: int = 4
    in_flight: int = 32
    latency_s: float = 10.0
    late_ms: float = 8.0
    """Mean of how late a worker wakes, its transaction included."""
    way_ms: float = 6.0
    """Mean of the way of a call from its permit to the endpoint."""
    advises: bool = True
    images: tuple[int, ...] = (1,)
    demand_per_min: float | None = None
    caps: Caps = field(default_factory=Caps)
    limits: Limits = field(default_factory=Limits)
    storm: tuple[float, float] = (0.0, 0.0)
    """Seconds from and to which every call is answered 429."""
    storm_advice_s: float | None = 1.0
    scattered: float = 0.0
    """The share of calls turned away by chance."""
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._count = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._free = [self.in_flight] * self.workers
        self._let_in = [LetIn() for _ in range(self.workers)]
        self._ended_ms = 0.0
        self._asked = 0
        for worker in range(self.workers):
            self._at(self._random.uniform(0, 100), self._asks(worker))

    def run(self, seconds: float) -> "Fleet":
        self._ended_ms += seconds * 1000
        while self._events and self._events[0][0] < self._ended_ms:
            at_ms, _, act = heapq.heappop(self._events)
            act(at_ms)
        return self

    def between(self, from_s: float, to_s: float) -> list[Call]:
        return [call for call in self.calls if from_s <= call.arrived_s < to_s]

    def used(self, per_minute: float, from_s: float, to_s: float) -> float:
        """Images let in, as a part of those the limit allows in that time."""
        let_in = sum(call.images for call in self.between(from_s, to_s) if call.let_in)
        return let_in / (per_minute * (to_s - from_s) / 60)

    def turned_away(self, from_s: float, to_s: float) -> float:
        """The share of calls answered 429."""
        calls = self.between(from_s, to_s)
        return sum(not call.let_in for call in calls) / max(1, len(calls))

    def _at(self, at_ms: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at_ms, next(self._count), act))

    def _asks(self, worker: int) -> Callable[[float], None]:
        def ask(at_ms: float) -> None:
            wanted = [(self._random.choice(self.images), 0) for _ in range(self._wanted(worker, at_ms))]
            now = START_MS + int(at_ms)
            known = in_step(self.limits, now)
            granted, spent = take(with_caps(known, self.caps), now, wanted)
            if granted:
                self.limits = without_caps(spent, known)
            self._asked += granted
            self._free[worker] -= granted
            for images, _ in wanted[:granted]:
                self._at(at_ms + self._some(self.way_ms), self._arrives(worker, images, now))
            wait = wait_ms(with_caps(self.limits, self.caps), now) if granted < len(wanted) else 0
            again_ms = min(POLL_MS, max(BREATH_MS, wait))
            self._at(at_ms + again_ms + self._some(self.late_ms), ask)

        return ask

    def _wanted(self, worker: int, at_ms: float) -> int:
        if self.demand_per_min is None:
            return self._free[worker]
        return max(0, min(self._free[worker], int(self.demand_per_min * at_ms / 60_000) - self._asked))

    def _arrives(self, worker: int, images: int, sent_at: int) -> Callable[[float], None]:
        def arrive(at_ms: float) -> None:
            storms = self.storm[0] <= at_ms / 1000 < self.storm[1]
            unlucky = self.scattered and self._random.random() < self.scattered
            wait_s = -1.0 if storms else 0.1 if unlucky else self.limiter(at_ms / 1000, images)
            self.calls.append(Call(at_ms / 1000, wait_s == 0, images))
            if wait_s == 0:
                self._at(at_ms + self.latency_s * 1000, self._ends(worker))
                self._at(at_ms + self.latency_s * 1000, lambda _: self._let_in[worker].note(sent_at))
                return
            advice = self.storm_advice_s if storms else wait_s if self.advises else None
            answered_ms = at_ms + self._some(self.way_ms)
            self._at(answered_ms, self._ends(worker))
            self._at(answered_ms + 100 + self._some(10), self._learns(worker, sent_at, images, advice))

        return arrive

    def _learns(self, worker: int, sent_at: int, images: int, advice: float | None) -> Callable[[float], None]:
        def learn(at_ms: float) -> None:
            now = START_MS + int(at_ms)
            let_in = self._let_in[worker]
            self.limits = throttled(
                in_step(self.limits, now),
                now,
                sent_at,
                images,
                advice,
                self._random.random(),
                let_in_at=let_in.last_sent_at,
                by_chance=let_in.turned_away_by_chance(),
            )

        return learn

    def _ends(self, worker: int) -> Callable[[float], None]:
        def end(at_ms: float) -> None:
            self._free[worker] += 1

        return end

    def _some(self, mean_ms: float) -> float:
        return self._random.expovariate(1 / mean_ms)
