"""What the ledger should say, in plain dictionaries: the memory of the model test, fed with what was done to it.

It knows three rules of the lifecycle and no SQL: which answer an attempt still takes, where its money then is, and
when a job may be called again. It is written from the lifecycle's words, not from the product's code.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jobs.ledger.admission import Admitted
from jobs.ledger.endings import Ending

UNCERTAIN = "unknown"
STATED = ("billed_lost", "not_billed")
"""Said by a person or by the books, not by an answer."""
USES_UP = ("succeeded", "refused", "rejected", "errored", UNCERTAIN, "image_lost")
"""Endings after which a job has one attempt less."""
Money = tuple[int, int, int]
"""(confirmed, possible, reserved) in nano-dollars"""


@dataclass(slots=True, eq=False)
class Attempt:
    """One call that was written down."""

    job: "Job"
    worker: str
    day: str
    outcome: str | None = None
    charged: int | None = None
    unpriced: bool = False
    lost: bool = False
    """Doubted because its worker was lost."""
    overdue: bool = False

    def takes(self, ending: Ending) -> bool:
        """Anything ends an open call; certainty ends a doubt; a paid answer overrules what was only stated."""
        if self.outcome is None:
            return True
        if self.outcome == UNCERTAIN:
            return ending.outcome != UNCERTAIN
        return self.outcome in STATED and ending.cost is not None and ending.outcome not in STATED

    def end(self, ending: Ending, *, lost: bool = False) -> None:
        in_time, doubted = self.outcome is None, self.outcome == UNCERTAIN
        self.outcome, self.lost = str(ending.outcome), lost
        price = ending.cost.total_nano if ending.cost else None
        self.unpriced = ending.cost is not None and price is None and self.charged is None
        self.charged = self.charged if price is None else price
        if in_time:
            self.job.spend_attempt(self, ending)
        elif doubted:
            self.job.settle_doubt(ending)

    @property
    def money(self) -> Money:
        if self.outcome is None:
            return 0, 0, self.job.ceiling
        in_doubt = self.outcome == UNCERTAIN or self.unpriced
        return self.charged or 0, self.job.ceiling if in_doubt else 0, 0


@dataclass(slots=True, eq=False)
class Job:
    """One row, and what it has used up since a person last queued it."""

    batch: str
    ceiling: int
    tag: str
    max_attempts: int
    retry_unknown: int
    attempts: list[Attempt] = field(default_factory=list)
    used: int = 0
    doubts: int = 0
    asked_for: bool = True
    """A person queued it since its last call: by submitting it, or again."""

    def spend_attempt(self, attempt: Attempt, ending: Ending) -> None:
        self.used += uses_up(ending)
        self.doubts += ending.outcome == UNCERTAIN

    def settle_doubt(self, ending: Ending) -> None:
        """One doubt less; if it was nothing that counts, the attempt is given back."""
        self.doubts = max(0, self.doubts - 1)
        if ending.outcome not in STATED and not uses_up(ending):
            self.used = max(0, self.used - 1)

    def queue_again(self, *, doubts_forgiven: bool) -> None:
        self.used, self.asked_for = 0, True
        self.doubts = 0 if doubts_forgiven else self.doubts

    def may_be_called(self) -> bool:
        """Nobody is at it, it has attempts left, and no doubt that its batch does not let repeat."""
        if any(attempt.outcome is None for attempt in self.attempts):
            return False
        if self.asked_for:
            return True
        return self.used < self.max_attempts and self.doubts <= self.retry_unknown


@dataclass(slots=True)
class Model:
    """Everything that was submitted and admitted."""

    jobs: dict[tuple[str, int], Job] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    ended_workers: set[str] = field(default_factory=set)

    def admit(self, one: Admitted, worker: str, day: str) -> None:
        """Raises AssertionError where this call may not be made."""
        job = self.jobs[one.batch_id, one.row]
        assert one.attempt_id not in self.attempts
        assert worker not in self.ended_workers
        assert job.may_be_called(), (job.used, job.doubts, [attempt.outcome for attempt in job.attempts])
        assert one.number == len(job.attempts) + 1
        self.attempts[one.attempt_id] = attempt = Attempt(job, worker, day)
        job.attempts.append(attempt)
        job.asked_for = False

    def book(self, *endings: Ending, lost: bool = False) -> int:
        """How many of the endings count."""
        counted = 0
        for ending in endings:
            attempt = self.attempts.get(ending.attempt_id)
            if attempt and attempt.takes(ending):
                attempt.end(ending, lost=lost)
                counted += 1
        return counted

    def open_ids(self, which: Callable[[Attempt], bool] = lambda _: True) -> list[str]:
        return [name for name, one in self.attempts.items() if one.outcome is None and which(one)]

    def money(self, covers: Callable[[Attempt], bool]) -> Money:
        """The sums of a budget that covers these attempts."""
        return added(attempt.money for attempt in self.attempts.values() if covers(attempt))


def uses_up(ending: Ending) -> bool:
    return ending.outcome in USES_UP and not ending.account_trouble


def added(sums: Iterable[Money]) -> Money:
    confirmed = possible = reserved = 0
    for one in sums:
        confirmed, possible, reserved = confirmed + one[0], possible + one[1], reserved + one[2]
    return confirmed, possible, reserved
