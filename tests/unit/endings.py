"""Attempts, jobs and endings made up for the tests of what an ending decides."""

from dataclasses import replace

from jobs.ledger.endings import AttemptFacts, Change, Ending, JobFacts, StoredImage, resolve
from jobs.money import Charge, Cost, Meter
from jobs.states import CHARGED, JobState, Outcome

CEILING = 1_000
OPEN = AttemptFacts(number=1, outcome=None, ceiling_nano=CEILING)
DOUBT = replace(OPEN, outcome=Outcome.UNKNOWN)
JOB = JobFacts(
    state=JobState.RUNNING,
    attempts=1,
    counted=0,
    unknowns=0,
    images=0,
    age_ms=1_000,
    batch_cancelled=False,
    max_attempts=5,
    retry_unknown=0,
    time_limit_ms=3_600_000,
)
BILLED = replace(OPEN, outcome=Outcome.BILLED_LOST, charged_nano=CEILING)
FREED = replace(OPEN, outcome=Outcome.NOT_BILLED)
HELD = replace(JOB, state=JobState.HELD, counted=1, unknowns=1)
IMAGE = StoredImage(0, "x.png", "ab", 1, "png", 1, 1, None)
PRICED = Cost.of([Charge(Meter.IMAGE, 1, "image", 600_000_000, 600)], "usage")
UNPRICED = Cost.of([Charge(Meter.IMAGE, 1, "image", None, None)], "usage")


def again(job: JobFacts, ending: Ending) -> int | None:
    return 5_000


def enough(job: JobFacts, ending: Ending) -> int | None:
    return None


def ending(outcome: Outcome, **fields: object) -> Ending:
    values: dict[str, object] = {"http_status": None if outcome is Outcome.UNKNOWN else 200}
    if outcome in CHARGED:
        values["cost"] = PRICED
    if outcome is Outcome.SUCCEEDED:
        values["images"] = (IMAGE,)
    return Ending("a", outcome, **{**values, **fields})  # type: ignore[arg-type]


def change(attempt: AttemptFacts, job: JobFacts, what: Ending, retry: object = again) -> Change:
    found = resolve(attempt, job, what, retry)  # type: ignore[arg-type]
    assert found is not None
    return found


RETRIED = [Outcome.REJECTED, Outcome.THROTTLED, Outcome.ERRORED]
