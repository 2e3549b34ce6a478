"""Whether a job is tried again after an attempt, and when. Pure: one policy, one decision.

Settlement asks where the lifecycle allows a retry, and writes the due time into the ledger; nothing else in
imagemill repeats a call by itself.
"""

from dataclasses import dataclass

from jobs.ledger.endings import Ending, JobFacts
from jobs.states import Outcome


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The shape of the waits, in seconds. How often and how long a job is tried stands with its batch."""

    first_wait_s: float = 2.0
    longest_wait_s: float = 120.0
    longest_throttled_wait_s: float = 15.0
    """A 429 without advice holds back the endpoint's other calls too: the job need not stand back any longer."""


def next_try(policy: RetryPolicy, job: JobFacts, ending: Ending, draw: float) -> int | None:
    """Milliseconds until the next attempt, or None for "enough". `draw` in [0, 1) is the jitter.

    `job.counted` includes the attempt that just ended, unless its outcome does not count.
    """
    throttled = ending.outcome is Outcome.THROTTLED
    if not (ending.retryable or throttled or ending.outcome is Outcome.UNKNOWN):
        return None
    if not throttled and job.counted >= job.max_attempts:
        return None
    tries = job.attempts - job.counted if throttled else job.counted
    wait_ms = round(1000 * _wait_s(policy, ending, tries, draw))
    return None if job.age_ms + wait_ms > job.time_limit_ms else wait_ms


def backoff_s(policy: RetryPolicy, tries: int, draw: float, *, throttled: bool = False) -> float:
    """Wait before try number `tries` + 1: doubled each time, capped, the upper half of it random."""
    doublings = min(max(0, tries - 1), 30)
    longest_s = policy.longest_throttled_wait_s if throttled else policy.longest_wait_s
    whole = min(longest_s, policy.first_wait_s * float(2**doublings))
    return whole / 2 * (1 + draw)


def _wait_s(policy: RetryPolicy, ending: Ending, tries: int, draw: float) -> float:
    """The server's own advice wins; a tenth of it is added at random, or all would come back at once."""
    advice = ending.retry_after_s
    if advice:
        return advice * (1 + draw / 10)
    return backoff_s(policy, tries, draw, throttled=ending.outcome is Outcome.THROTTLED)
