"""The kept totals against a full count: budgets, tallies and job rows must agree with jobs, attempts and charges.

Slow on purpose, and independent of the code that keeps the totals. Called by `imagemill db check` and by tests.
"""

import json
import operator
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, case, func, select

from jobs.ledger import schema
from jobs.ledger.schema import attempts, batches, charges, images, jobs

_DAY_MS = 86_400_000
_MOST_JOBS = 20
_NOTHING = (0, 0, 0)
Figures = Mapping[tuple[str, ...], tuple[int, ...]]


def differences(tx: Connection) -> list[str]:
    """One sentence for each kept total that is not what a full count gives; empty: all agree."""
    return [
        *_job_counts(tx),
        *_batch_sizes(tx),
        *_budget_sums(tx),
        *_attempt_sums(tx),
        *_charge_sums(tx),
        *_job_sums(tx),
    ]


def _job_counts(tx: Connection) -> Iterator[str]:
    """Batches that are still loading have no tallies yet."""
    kept = schema.job_tallies
    key = (jobs.c.batch_id, jobs.c.model, jobs.c.state)
    opened = select(*key, func.count()).join(batches, batches.c.id == jobs.c.batch_id)
    counted = opened.where(batches.c.state != "loading").group_by(*key)
    held = select(kept.c.batch_id, kept.c.model, kept.c.state, kept.c.jobs)
    yield from _compare("jobs", _figures(tx, held, 3), _figures(tx, counted, 3))


def _batch_sizes(tx: Connection) -> Iterator[str]:
    opened = batches.c.state != "loading"
    counted = select(batches.c.id, func.count()).join(jobs, jobs.c.batch_id == batches.c.id).where(opened)
    held = select(batches.c.id, batches.c.jobs).where(opened)
    yield from _compare("jobs of batch", _figures(tx, held, 1), _figures(tx, counted.group_by(batches.c.id), 1))


def _budget_sums(tx: Connection) -> Iterator[str]:
    """Each budget against the attempts it covers; what holds the cap of every day or month has no sums."""
    kept = tx.execute(select(schema.budgets).order_by(schema.budgets.c.scope, schema.budgets.c.key)).all()
    by_batch, by_day = _money_by(tx, attempts.c.batch_id), _money_by(tx, _day(attempts.c.admitted_at))
    by_tags = _money_by(tx, schema.tag_sets.c.tags) if any(row.scope == "tag" for row in kept) else {}
    for row in kept:
        match row.scope:
            case "batch":
                counted = [by_batch.get(row.key, _NOTHING)]
            case "tag":
                name, _, value = row.key.partition("=")
                counted = [sums for tags, sums in by_tags.items() if json.loads(tags).get(name) == value]
            case _:
                counted = [sums for day, sums in by_day.items() if _iso(day).startswith(row.key)]
        total = tuple(map(sum, zip(_NOTHING, *counted, strict=True)))
        sums = (row.confirmed_nano, row.possible_nano, row.reserved_nano)
        if sums != total:
            yield f"budget {row.scope} {row.key}: kept {sums}, counted {total}"


def _money_by(tx: Connection, key: ColumnElement[Any]) -> dict[str, tuple[int, ...]]:
    """{key: (confirmed, possible, reserved)} of all attempts."""
    charged = func.sum(func.coalesce(attempts.c.charged_nano, 0))
    possible = func.sum(attempts.c.possible_nano)
    reserved = func.sum(case((attempts.c.outcome.is_(None), attempts.c.ceiling_nano), else_=0))
    statement = (
        select(key, charged, possible, reserved)
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .join(schema.tag_sets, schema.tag_sets.c.id == jobs.c.tag_set)
        .group_by(key)
    )
    return {str(row[0]): tuple(int(number) for number in row[1:]) for row in tx.execute(statement)}


def _attempt_sums(tx: Connection) -> Iterator[str]:
    """By model and outcome, and by tag set. Rows of attempt_tallies with a tag set are of before tag_tallies."""
    kept, by_tag = schema.attempt_tallies, schema.tag_tallies
    held = _figures(
        tx, select(kept.c.batch_id, kept.c.day, kept.c.model, kept.c.tag_set, kept.c.outcome, *_sums_of(kept)), 5
    )
    tagged = _figures(tx, select(by_tag.c.batch_id, by_tag.c.day, by_tag.c.tag_set, *_sums_of(by_tag)), 3)
    older = {key: numbers for key, numbers in held.items() if key[3] != str(schema.ALL_TAGS)}
    counted = _count_attempts(tx)
    yield from _compare("attempts", _folded(held, 0, 1, 2, 4), _folded(counted, 0, 1, 2, 4))
    yield from _compare("attempts by tag", _added(_folded(older, 0, 1, 3), tagged), _folded(counted, 0, 1, 3))


def _sums_of(kept: Table) -> tuple[ColumnElement[Any], ...]:
    return (kept.c.attempts, kept.c.images, kept.c.charged_nano, kept.c.possible_nano, kept.c.unpriced)


def _count_attempts(tx: Connection) -> Figures:
    """{(batch, day, model, tag set, outcome): sums} of all attempts that have ended."""
    pictures = select(images.c.attempt_id, func.count().label("n")).group_by(images.c.attempt_id).subquery()
    key = (attempts.c.batch_id, _day(attempts.c.ended_at), attempts.c.model, jobs.c.tag_set, attempts.c.outcome)
    statement = (
        select(
            *key,
            func.count(),
            func.sum(func.coalesce(pictures.c.n, 0)),
            func.sum(func.coalesce(attempts.c.charged_nano, 0)),
            func.sum(attempts.c.possible_nano),
            func.sum(case((attempts.c.priced_by.is_(None) | attempts.c.charged_nano.is_not(None), 0), else_=1)),
        )
        .join_from(attempts, jobs, (jobs.c.batch_id == attempts.c.batch_id) & (jobs.c.row == attempts.c.row))
        .outerjoin(pictures, pictures.c.attempt_id == attempts.c.id)
        .where(attempts.c.outcome.is_not(None))
        .group_by(*key)
    )
    return _with_days(_figures(tx, statement, 5))


def _charge_sums(tx: Connection) -> Iterator[str]:
    kept = schema.charge_tallies
    by = (kept.c.batch_id, kept.c.day, kept.c.model, kept.c.outcome, kept.c.meter)
    sums = (kept.c.charges, kept.c.quantity, kept.c.amount_nano, kept.c.unpriced)
    held = select(*by, *map(func.sum, sums)).group_by(*by)
    attempt = (attempts.c.model, attempts.c.outcome)
    key = (attempts.c.batch_id, _day(charges.c.charged_at), *attempt, charges.c.meter)
    counted = (
        select(
            *key,
            func.count(),
            func.sum(charges.c.quantity),
            func.sum(func.coalesce(charges.c.amount_nano, 0)),
            func.sum(case((charges.c.amount_nano.is_(None), 1), else_=0)),
        )
        .join_from(charges, attempts, attempts.c.id == charges.c.attempt_id)
        .group_by(*key)
    )
    yield from _compare("charges", _figures(tx, held, 5), _with_days(_figures(tx, counted, 5)))


def _job_sums(tx: Connection) -> Iterator[str]:
    """Jobs whose own sums are not those of their attempts; the first of them."""
    key = (attempts.c.batch_id, attempts.c.row)
    charged = func.sum(func.coalesce(attempts.c.charged_nano, 0)).label("charged")
    possible = func.sum(attempts.c.possible_nano).label("possible")
    spent = select(*key, func.count().label("n"), charged, possible).group_by(*key).subquery()
    shown = (images.c.batch_id, images.c.row)
    received = select(*shown, func.count().label("n")).where(~images.c.surplus).group_by(*shown).subquery()
    pairs = (
        (jobs.c.attempts, func.coalesce(spent.c.n, 0)),
        (jobs.c.charged_nano, func.coalesce(spent.c.charged, 0)),
        (jobs.c.possible_nano, func.coalesce(spent.c.possible, 0)),
        (jobs.c.images, func.coalesce(received.c.n, 0)),
    )
    differs = pairs[0][0] != pairs[0][1]
    for kept, counted in pairs[1:]:
        differs |= kept != counted
    statement = (
        select(jobs.c.batch_id, jobs.c.row, *(column for pair in pairs for column in pair))
        .outerjoin(spent, (spent.c.batch_id == jobs.c.batch_id) & (spent.c.row == jobs.c.row))
        .outerjoin(received, (received.c.batch_id == jobs.c.batch_id) & (received.c.row == jobs.c.row))
        .where(differs)
        .order_by(jobs.c.batch_id, jobs.c.row)
    )
    for row in tx.execute(statement.limit(_MOST_JOBS)):
        yield f"job {row[0]} {row[1]}: kept {tuple(row[2::2])}, counted {tuple(int(n) for n in row[3::2])}"


def _day(moment_ms: ColumnElement[Any]) -> ColumnElement[Any]:
    """Days since 1970 UTC: both engines divide integers to an integer."""
    return (moment_ms // _DAY_MS).label("day")


def _with_days(counted: Figures) -> Figures:
    """The same, the day in each key written as the tallies write it."""
    return {(key[0], _iso(key[1]), *key[2:]): numbers for key, numbers in counted.items()}


def _iso(day: str) -> str:
    return datetime.fromtimestamp(int(day) * _DAY_MS / 1000, UTC).date().isoformat()


def _folded(figures: Figures, *places: int) -> Figures:
    """Summed by these parts of their keys; without lines that come to nothing."""
    sums: dict[tuple[str, ...], tuple[int, ...]] = {}
    for key, numbers in figures.items():
        short = tuple(key[place] for place in places)
        sums[short] = _plus(sums.get(short), numbers)
    return {key: numbers for key, numbers in sums.items() if any(numbers)}


def _added(one: Figures, other: Figures) -> Figures:
    sums = dict(one) | {key: _plus(one.get(key), numbers) for key, numbers in other.items()}
    return {key: numbers for key, numbers in sums.items() if any(numbers)}


def _plus(before: tuple[int, ...] | None, numbers: tuple[int, ...]) -> tuple[int, ...]:
    return numbers if before is None else tuple(map(operator.add, before, numbers))


def _compare(what: str, kept: Figures, counted: Figures) -> Iterator[str]:
    for key in sorted(kept.keys() | counted.keys()):
        if kept.get(key) != counted.get(key):
            yield f"{what} {' '.join(key)}: kept {kept.get(key)}, counted {counted.get(key)}"


def _figures(tx: Connection, statement: Select[Any], keys: int) -> Figures:
    """{key: numbers}, without lines that are all zero."""
    found = {
        tuple(str(part) for part in row[:keys]): tuple(int(number or 0) for number in row[keys:])
        for row in tx.execute(statement)
    }
    return {key: numbers for key, numbers in found.items() if any(numbers)}
