"""The kept totals against a full count: budgets and tallies must agree with jobs, attempts and charges.

Slow on purpose, and independent of the code that keeps the totals. Called by `imagemill db check` and by tests.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from jobs.ledger import schema
from jobs.ledger.schema import attempts, charges, images, jobs


def differences(tx: Connection) -> list[str]:
    """One sentence for each kept total that is not what a full count gives; empty: all agree."""
    return [*_job_counts(tx), *_budget_sums(tx), *_attempt_sums(tx), *_charge_sums(tx)]


def _job_counts(tx: Connection) -> Iterator[str]:
    key = (jobs.c.batch_id, jobs.c.model, jobs.c.state)
    counted = select(*key, func.count()).group_by(*key)
    kept = schema.job_tallies
    yield from _compare(tx, "jobs", counted, select(kept.c.batch_id, kept.c.model, kept.c.state, kept.c.jobs))


def _budget_sums(tx: Connection) -> Iterator[str]:
    charged = func.sum(func.coalesce(attempts.c.charged_nano, 0))
    possible = func.sum(attempts.c.possible_nano)
    reserved = func.sum(case((attempts.c.outcome.is_(None), attempts.c.ceiling_nano), else_=0))
    counted = select(attempts.c.batch_id, charged, possible, reserved).group_by(attempts.c.batch_id)
    kept = schema.budgets
    sums = (kept.c.confirmed_nano, kept.c.possible_nano, kept.c.reserved_nano)
    yield from _compare(tx, "budget", counted, select(kept.c.key, *sums).where(kept.c.scope == "batch"), keys=1)


def _attempt_sums(tx: Connection) -> Iterator[str]:
    kept = schema.attempt_tallies
    sums = (kept.c.attempts, kept.c.images, kept.c.charged_nano, kept.c.possible_nano)
    by = (kept.c.batch_id, kept.c.model, kept.c.outcome)
    held = select(*by, *(func.sum(column) for column in sums)).group_by(*by)
    pictures = select(images.c.attempt_id, func.count().label("n")).group_by(images.c.attempt_id).subquery()
    key = (attempts.c.batch_id, attempts.c.model, attempts.c.outcome)
    counted = (
        select(
            *key,
            func.count(),
            func.sum(func.coalesce(pictures.c.n, 0)),
            func.sum(func.coalesce(attempts.c.charged_nano, 0)),
            func.sum(attempts.c.possible_nano),
        )
        .outerjoin(pictures, pictures.c.attempt_id == attempts.c.id)
        .where(attempts.c.outcome.is_not(None))
        .group_by(*key)
    )
    yield from _compare(tx, "attempts", counted, held)


def _charge_sums(tx: Connection) -> Iterator[str]:
    kept = schema.charge_tallies
    by = (kept.c.batch_id, kept.c.model, kept.c.meter)
    held = select(*by, func.sum(kept.c.charges), func.sum(kept.c.quantity), func.sum(kept.c.amount_nano)).group_by(
        *by
    )
    key = (attempts.c.batch_id, attempts.c.model, charges.c.meter)
    amounts = (func.count(), func.sum(charges.c.quantity), func.sum(func.coalesce(charges.c.amount_nano, 0)))
    counted = select(*key, *amounts).join(attempts, attempts.c.id == charges.c.attempt_id).group_by(*key)
    yield from _compare(tx, "charges", counted, held)


def _compare(tx: Connection, what: str, counted: Select[Any], kept: Select[Any], keys: int = 3) -> Iterator[str]:
    ours, theirs = (_figures(tx, statement, keys) for statement in (kept, counted))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"{what} {' '.join(key)}: kept {ours.get(key)}, counted {theirs.get(key)}"


def _figures(tx: Connection, statement: Select[Any], keys: int) -> dict[tuple[str, ...], tuple[int, ...]]:
    """{key: numbers}, without lines that are all zero."""
    rows = {tuple(row[:keys]): tuple(int(number or 0) for number in row[keys:]) for row in tx.execute(statement)}
    return {key: numbers for key, numbers in rows.items() if any(numbers)}
