"""How long what a killed worker held stays open: read from the ledger, kill by kill."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.books import Books

OPEN = """
SELECT workers.pid AS pid, attempts.id AS id FROM attempts JOIN workers ON workers.id = attempts.worker_id
WHERE attempts.outcome IS NULL
"""


@dataclass(slots=True)
class Kill:
    """One SIGKILL. `held` are the attempts that were open when the process was gone."""

    pid: int
    at_s: float
    held: set[str] = field(default_factory=set)
    recovered_s: float | None = None
    """Seconds until none of them was open."""


class Recovery:
    """Watches all kills of a run."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.kills: list[Kill] = []
        self._waiting: list[Kill] = []

    def killed(self, pid: int) -> None:
        """Remember a process that is gone by now."""
        kill = Kill(pid, time.monotonic())
        self.kills.append(kill)
        self._waiting.append(kill)

    def look(self) -> None:
        """See which kills are recovered from. Raises the driver's error while the ledger is away."""
        if not self._waiting:
            return
        still_open = self._open_by_pid()
        now_s = time.monotonic()
        for kill in self._waiting:
            kill.held |= still_open.get(kill.pid, set())
            if kill.pid not in still_open:
                kill.recovered_s = now_s - kill.at_s
        self._waiting = [kill for kill in self._waiting if kill.recovered_s is None]

    def times_s(self) -> list[float]:
        """Of the kills that left something open, in order of length."""
        return sorted(kill.recovered_s for kill in self.kills if kill.held and kill.recovered_s is not None)

    def _open_by_pid(self) -> Mapping[int, set[str]]:
        found: dict[int, set[str]] = defaultdict(set)
        for row in self._books.ask(OPEN):
            found[row["pid"]].add(row["id"])
        return found


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of the sorted values do not pass; None without any."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None
