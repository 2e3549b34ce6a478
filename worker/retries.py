"""When an attempt that may be followed by another is, and when enough is enough. Pure.

Settlement asks `next_try` where the lifecycle allows a retry, and writes the due time into the ledger; nothing
else in imagemill repeats a call by itself.
"""

from dataclasses import dataclass

from jobs.ledger.endings import Ending, JobFacts
from jobs.states import Outcome


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of a job, by number and by time, and the shape of the waits. Times in seconds."""

    attempts: int = 5
    """Counted attempts of a job, the first one included."""
    total_s: float = 6 * 3600.0
    """From the job's first admission; bounds what does not count, such as rate limits."""
    first_wait_s: float = 2.0
    longest_wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt that just ended, and what the job has behind it with this attempt included."""

    outcome: Outcome
    retryable: bool
    retry_after_s: float | None
    counted: int
    """Attempts that use up `RetryPolicy.attempts`."""
    uncounted: int
    """The others: rate limits, and what was never sent."""
    age_s: float
    """Since the job's first admission."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Queue the job again, due in so many seconds."""

    due_in_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt. `reason`: final, attempts_used or time_used."""

    reason: str


def decide(policy: RetryPolicy, ended: Ended, draw: float) -> Retry | GiveUp:
    """The next step. `draw` is a random number in [0, 1) for the jitter.

    Whether an unknown attempt may be repeated at all is the lifecycle's matter, decided before.
    """
    throttled = ended.outcome is Outcome.THROTTLED
    if not ended.retryable and ended.outcome is not Outcome.UNKNOWN:
        return GiveUp("final")
    if not throttled and ended.counted >= policy.attempts:
        return GiveUp("attempts_used")
    wait_s = _wait_s(policy, ended.retry_after_s, ended.uncounted if throttled else ended.counted, draw)
    return GiveUp("time_used") if ended.age_s + wait_s > policy.total_s else Retry(wait_s)


def next_try(job: JobFacts, ending: Ending, draw: float) -> int | None:
    """`decide` in the ledger's terms: milliseconds until the next attempt, or None for enough."""
    policy = RetryPolicy(attempts=job.max_attempts, total_s=job.time_limit_ms / 1000)
    ended = Ended(
        outcome=ending.outcome,
        retryable=ending.retryable,
        retry_after_s=ending.retry_after_s,
        counted=job.counted,
        uncounted=job.attempts - job.counted,
        age_s=job.age_ms / 1000,
    )
    step = decide(policy, ended, draw)
    return int(step.due_in_s * 1000) if isinstance(step, Retry) else None


def backoff_s(policy: RetryPolicy, tries: int, draw: float) -> float:
    """The wait after so many tries: doubled each time, capped, the upper half of it random."""
    doublings = min(max(0, tries - 1), 30)
    whole = min(policy.longest_wait_s, policy.first_wait_s * float(2**doublings))
    return whole / 2 * (1 + draw)


def _wait_s(policy: RetryPolicy, advice_s: float | None, tries: int, draw: float) -> float:
    """The server's own advice wins; a tenth of it is added at random, or all would come back at once."""
    return advice_s * (1 + draw / 10) if advice_s else backoff_s(policy, tries, draw)
