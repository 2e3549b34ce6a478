"""What must hold after every step of the model test: functions over one look at the ledger, and the model."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from jobs.ledger import recount, schema
from jobs.ledger.budgets import EVERY
from tests.integration.ledger_model import Attempt, Model

FINAL = {"succeeded", "failed", "refused", "cancelled"}
Key = tuple[str, int]
"""(batch, row)"""


@dataclass(frozen=True, slots=True)
class Seen:
    """The ledger at one moment."""

    batches: dict[str, str]
    """State by batch."""
    jobs: dict[Key, Any]
    attempts: dict[str, Any]
    results: dict[str, bool]
    """By attempt, whether its image is surplus."""
    budgets: list[Any]
    differences: list[str]
    """Between kept totals and a full count."""

    @property
    def states(self) -> dict[Key, str]:
        return {key: job.state for key, job in self.jobs.items()}


def look(tx: Connection) -> Seen:
    jobs, attempts, images = schema.jobs.c, schema.attempts.c, schema.images.c
    ends = (attempts.id, attempts.outcome, attempts.charged_nano, attempts.possible_nano, attempts.ceiling_nano)
    return Seen(
        batches=dict(map(tuple, tx.execute(select(schema.batches.c.id, schema.batches.c.state)))),
        jobs={
            (row[0], row[1]): row for row in tx.execute(select(jobs.batch_id, jobs.row, jobs.state, jobs.images))
        },
        attempts={row.id: row for row in tx.execute(select(*ends))},
        results=dict(map(tuple, tx.execute(select(images.attempt_id, images.surplus)))),
        budgets=list(tx.execute(select(schema.budgets).where(schema.budgets.c.key != EVERY))),
        differences=recount.differences(tx),
    )


def broken(seen: Seen, model: Model, before: dict[Key, str], *, person_moved: bool) -> list[str]:
    """One sentence for each promise that does not hold. `before`: the jobs' states one step ago."""
    return [
        *seen.differences,
        *_money(seen, model),
        *_moves(seen, before, person_moved),
        *_states(seen, model),
        *_results(seen, model),
        *_batches(seen),
    ]


def covers(budget: Any) -> Callable[[Attempt], bool]:
    """Which attempts count in a row of `budgets`."""
    match budget.scope:
        case "batch":
            return lambda attempt: attempt.job.batch == budget.key
        case "tag":
            return lambda attempt: attempt.job.tag == budget.key
        case "day" | "month":
            return lambda attempt: attempt.day.startswith(budget.key)
        case _:
            return lambda attempt: True


def _money(seen: Seen, model: Model) -> Iterator[str]:
    """Attempt by attempt what the model says, and every budget the sum of what it covers."""
    if unwritten := model.attempts.keys() ^ seen.attempts.keys():
        yield f"attempts in one book only: {unwritten}"
    for name, row in seen.attempts.items():
        expected = model.attempts[name]
        reserved = 0 if row.outcome else row.ceiling_nano
        found = (row.outcome, (row.charged_nano or 0, row.possible_nano, reserved))
        if found != (expected.outcome, expected.money):
            yield f"{name} is {found}, not {expected.outcome, expected.money}"
    for row in seen.budgets:
        kept, parts = (row.confirmed_nano, row.possible_nano, row.reserved_nano), model.money(covers(row))
        if kept != parts:
            yield f"budget {row.scope} {row.key} keeps {kept}, its attempts come to {parts}"


def _moves(seen: Seen, before: dict[Key, str], person_moved: bool) -> Iterator[str]:
    """What is final stays. But a job given up because its doubt was resolved takes a paid answer that comes yet."""
    for key, was in before.items():
        now = seen.jobs[key].state
        late_result = (was, now) == ("failed", "succeeded")
        if was in FINAL and now != was and not (late_result or (person_moved and was != "succeeded")):
            yield f"{key} went from {was} to {now} by itself"


def _states(seen: Seen, model: Model) -> Iterator[str]:
    """Every job is in a state that its attempts explain."""
    for key, row in seen.jobs.items():
        ends = [attempt.outcome for attempt in model.jobs[key].attempts]
        explained = {
            "queued": None not in ends or ends.count(None) == 1,  # one: a person queued it while a call was out
            "running": ends.count(None) == 1,
            "succeeded": "succeeded" in ends,
            "failed": bool(set(ends) - {"unknown", None}),
            "refused": "refused" in ends,
            "held": "unknown" in ends,
            "cancelled": True,
        }
        if not explained[row.state] or ends.count(None) > 1:
            yield f"{key} is {row.state} with {ends}"


def _results(seen: Seen, model: Model) -> Iterator[str]:
    """A job that succeeded has its images once; what was paid for beside them is kept as surplus."""
    paid = {name for name, attempt in model.attempts.items() if attempt.outcome == "succeeded"}
    if paid != seen.results.keys():
        yield f"images without their answer, or the other way round: {paid ^ seen.results.keys()}"
    first = Counter(id(model.attempts[name].job) for name, surplus in seen.results.items() if not surplus)
    for key, row in seen.jobs.items():
        wanted = int(row.state == "succeeded")
        if (row.images, first[id(model.jobs[key])]) != (wanted, wanted):
            yield f"{key} is {row.state} with {row.images} images, {first[id(model.jobs[key])]} not surplus"


def _batches(seen: Seen) -> Iterator[str]:
    """An open batch has work, and one that is done has none."""
    unfinished = {batch for (batch, _), row in seen.jobs.items() if row.state in ("queued", "running")}
    for batch, state in seen.batches.items():
        if (state == "open" and batch not in unfinished) or (state == "done" and batch in unfinished):
            yield f"batch {batch} is {state}"
