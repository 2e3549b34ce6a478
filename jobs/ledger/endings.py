"""What the end of an attempt changes: pure decisions over rows that settlement has locked.

An Ending goes in, a Change comes out: the job's next state, the money that moves between reserved, possible and
confirmed, and whether images are a second result. Nothing here touches the database, so every case is a unit test.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from jobs.money import Cost
from jobs.states import CHARGED, COUNTED, RESOLVED, JobState, Outcome

_ENDS_JOB = (Outcome.REFUSED, Outcome.IMAGE_LOST)
"""Beside success: only a person sends the job again."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One published file. `path` is its name inside the image store."""

    index: int
    path: str
    sha256: str
    bytes: int
    format: str
    width: int | None
    height: int | None
    revised_prompt: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ended, with its price. `cost` None: the outcome is not charged."""

    attempt_id: str
    outcome: Outcome
    http_status: int | None = None
    request_id: str | None = None
    error_kind: str | None = None
    error_message: str | None = None
    usage: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    duration_ms: int | None = None
    cost: Cost | None = None
    price_book: str | None = None
    images: tuple[StoredImage, ...] = ()
    retryable: bool = False
    retry_after_s: float | None = None
    account_trouble: bool = False
    """The key or the model was paused: the job goes back to the queue, uncounted, for after `resume`."""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """The locked attempt row, as far as the decision needs it."""

    number: int
    outcome: Outcome | None
    ceiling_nano: int
    charged_nano: int | None = None
    """Set where books or a person resolved a doubt as billed."""
    other_doubts: int = 0
    """Other attempts of the same job that are in doubt."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The locked job row and its batch's policy, as far as the decision needs them."""

    state: JobState
    attempts: int
    counted: int
    unknowns: int
    images: int
    age_ms: int
    """Since the job's first admission."""
    batch_cancelled: bool
    max_attempts: int
    retry_unknown: int
    time_limit_ms: int
    error_kind: str | None = None
    batch_possible_nano: int = 0
    """Of the whole batch, before this ending."""
    max_possible_nano: int | None = None

    @property
    def failed_by_resolution(self) -> bool:
        return self.state is JobState.FAILED and self.error_kind in RESOLVED

    @property
    def too_much_possible(self) -> bool:
        """The batch has reached the wall for the money that doubts may cost."""
        return self.max_possible_nano is not None and self.batch_possible_nano > self.max_possible_nano


@dataclass(frozen=True, slots=True)
class Money:
    """What moves, in nano-dollars. The sums of a budget change by exactly these."""

    reserved: int = 0
    possible: int = 0
    confirmed: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What one ending does to its job and to the money."""

    state: JobState
    due_in_ms: int
    counted: int
    unknowns: int
    new_key: bool
    """Answered for certain: the next attempt may not share this one's Idempotency-Key."""
    surplus: bool
    """The job had its result already: these images were paid for a second time."""
    money: Money
    charged_nano: int | None
    possible_nano: int
    shows_error: bool
    """The job's error columns take over this ending's error."""
    fresh: bool
    """A person queued the job again: its limits of attempts and time begin anew."""
    corrects: bool
    """Books or a person had resolved the doubt otherwise: its charges are corrections, and it is an alarm."""


@dataclass(frozen=True, slots=True)
class Booked:
    """One attempt whose ending counts from now on."""

    attempt_id: str
    endpoint: str
    model: str
    outcome: Outcome
    charged_nano: int
    corrects: bool = False
    """A paid answer to a call that books or a person had resolved otherwise."""


RetryDecision = Callable[[JobFacts, Ending], int | None]
"""Milliseconds until the next attempt, or None for "enough". Asked only where the lifecycle allows a retry."""


def resolve(attempt: AttemptFacts, job: JobFacts, ending: Ending, retry: RetryDecision) -> Change | None:
    """Decide an ending. None: the attempt was settled before, and this repeat changes nothing."""
    if not _says_more(attempt.outcome, ending):
        return None
    late = attempt.outcome is not None
    money, charged, possible = _money(attempt, ending)
    after = replace(
        job,
        counted=_counted(job, ending, late),
        unknowns=job.unknowns + (ending.outcome is Outcome.UNKNOWN),
        batch_possible_nano=job.batch_possible_nano + money.possible,
    )
    moves = _may_move(attempt, after, ending, late)
    state, due_in_ms = _next(after, ending, retry) if moves else (job.state, 0)
    fresh = moves and state is JobState.QUEUED and ending.outcome in RESOLVED
    return Change(
        state=state,
        due_in_ms=due_in_ms,
        counted=0 if fresh else after.counted,
        unknowns=0 if fresh else after.unknowns,
        new_key=ending.http_status is not None and ending.outcome not in (Outcome.UNKNOWN, *RESOLVED),
        surplus=bool(ending.images) and not moves,
        money=money,
        charged_nano=charged,
        possible_nano=possible,
        shows_error=moves,
        fresh=fresh,
        corrects=attempt.outcome in RESOLVED,
    )


def _counted(job: JobFacts, ending: Ending, late: bool) -> int:
    """How many attempts the job has used up after this ending. A doubt counted; if it turns out to have been
    nothing that counts, it is given back."""
    counts = ending.outcome in COUNTED and not ending.account_trouble
    if not late:
        return job.counted + counts
    return job.counted if counts or ending.outcome in RESOLVED else max(0, job.counted - 1)


def as_charged(attempt: AttemptFacts, ending: Ending) -> Ending:
    """The ending without its cost where that has no price and the books have named an amount already."""
    unpriced = ending.cost is not None and ending.cost.total_nano is None
    return replace(ending, cost=None) if unpriced and attempt.charged_nano is not None else ending


def _says_more(known: Outcome | None, ending: Ending) -> bool:
    """Whether the ending adds to what is known of its attempt: anything to an open one, certainty to a doubt, a
    paid answer to one that books or a person resolved. An unpaid answer does not outweigh them."""
    if known is None:
        return True
    if known is Outcome.UNKNOWN:
        return ending.outcome is not Outcome.UNKNOWN
    paid = ending.cost is not None or ending.outcome in CHARGED
    return known in RESOLVED and paid and ending.outcome not in RESOLVED


def _money(attempt: AttemptFacts, ending: Ending) -> tuple[Money, int | None, int]:
    """(what moves, charged, possible) of the attempt. A charge nobody could price stays possible at its
    ceiling: it is not 0, and a budget must not forget it."""
    ceiling = attempt.ceiling_nano
    charged = ending.cost.total_nano if ending.cost else attempt.charged_nano
    possible = ceiling if ending.outcome is Outcome.UNKNOWN or (ending.cost and charged is None) else 0
    money = Money(
        reserved=-ceiling if attempt.outcome is None else 0,
        possible=possible - (ceiling if attempt.outcome is Outcome.UNKNOWN else 0),
        confirmed=(charged or 0) - (attempt.charged_nano or 0),
    )
    return money, charged, possible


def _may_move(attempt: AttemptFacts, job: JobFacts, ending: Ending, late: bool) -> bool:
    """A late answer moves only a job that still waits for its result, or that failed only because its doubt was
    resolved; one without images only if no other attempt of the job may still bring them. One after which only a
    person sends a job again also takes it out of the queue, unless a person has put it there."""
    if not late:
        return job.state is JobState.RUNNING and job.attempts == attempt.number
    if ending.outcome is Outcome.SUCCEEDED:
        return job.state in (JobState.HELD, JobState.QUEUED, JobState.RUNNING) or job.failed_by_resolution
    if attempt.other_doubts:
        return False
    queued_by_itself = job.state is JobState.QUEUED and job.unknowns > 0
    return job.state is JobState.HELD or (queued_by_itself and ending.outcome in _ENDS_JOB)


def _next(job: JobFacts, ending: Ending, retry: RetryDecision) -> tuple[JobState, int]:
    """The job's next state, and in how many milliseconds it is due if it goes back to the queue."""
    match ending.outcome:
        case Outcome.SUCCEEDED:
            return JobState.SUCCEEDED, 0
        case Outcome.REFUSED:
            return JobState.REFUSED, 0
        case Outcome.IMAGE_LOST:
            return JobState.FAILED, 0
        case Outcome.BILLED_LOST | Outcome.NOT_BILLED:  # `retryable` is the person's wish
            return (JobState.QUEUED if ending.retryable else JobState.FAILED), 0
        case Outcome.UNKNOWN:
            if job.unknowns > job.retry_unknown or job.batch_cancelled or job.too_much_possible:
                return JobState.HELD, 0
            return _again(job, ending, retry, JobState.HELD)
        case Outcome.REJECTED | Outcome.THROTTLED | Outcome.ERRORED | Outcome.NOT_SENT:
            if ending.account_trouble or ending.outcome is Outcome.NOT_SENT:
                return _queued(job, 0)
            return _again(job, ending, retry, JobState.FAILED)


def _again(job: JobFacts, ending: Ending, retry: RetryDecision, otherwise: JobState) -> tuple[JobState, int]:
    due_in_ms = retry(job, ending)
    return (otherwise, 0) if due_in_ms is None else _queued(job, due_in_ms)


def _queued(job: JobFacts, due_in_ms: int) -> tuple[JobState, int]:
    """Back to the queue, unless the batch was cancelled while the call was in flight."""
    return (JobState.CANCELLED, 0) if job.batch_cancelled else (JobState.QUEUED, due_in_ms)
