"""Frozen selections: the jobs that a person saw before saying "send these again", and no others.

Freezing records the filter, the highest row, the number, a sample and what it may cost at worst, with a digest over
the very rows. Retrying moves exactly that set in one transaction, once, or raises Conflict when any of it changed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from jobs.errors import Conflict, UsageError
from jobs.ids import new_selection_id
from jobs.ledger import clock, control
from jobs.ledger.acts import Act, record
from jobs.ledger.browsing import TROUBLE, JobFilter, chosen_jobs
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import jobs, selections
from jobs.states import JobState

_SAMPLE = 5
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Selection:
    """A row. Moments in milliseconds since 1970 UTC."""

    id: str
    batch_id: str
    who: str
    chosen: JobFilter
    upper_row: int
    jobs: int
    worst_nano: int
    held: int
    """Of the jobs, those whose last call may have been paid for already."""
    sample: tuple[str, ...]
    digest: str
    created_at: int
    used_at: int | None


def freeze(tx: Connection, batch_id: str, chosen: JobFilter, who: str) -> Selection:
    """Record which jobs the filter means now. Raises UsageError when it means none that can be sent again."""
    facts = _count(tx, batch_id, chosen, None)
    if not facts["jobs"]:
        raise UsageError(f"no job of {batch_id} fits any more: look at the batch again")
    row = {
        "id": new_selection_id(),
        "batch_id": batch_id,
        "who": who,
        "filter": json.dumps({"state": chosen.state, "cause": chosen.cause, "model": chosen.model}),
        "created_at": clock.now(tx),
        **facts,
    }
    tx.execute(insert(selections).values(**row))
    return _selection(tx.execute(select(selections).where(selections.c.id == row["id"])).one())


def read_selection(tx: Connection, selection_id: str) -> Selection | None:
    found = tx.execute(select(selections).where(selections.c.id == selection_id)).one_or_none()
    return _selection(found) if found else None


def retry_selection(tx: Connection, selection_id: str, who: str) -> int:
    """Queue exactly these jobs again, as an act of `who`; their number. Raises Conflict when the set changed since
    it was frozen, or was sent before."""
    used = update(selections).where(selections.c.id == selection_id, selections.c.used_at.is_(None))
    if not tx.execute(used.values(used_at=clock.now(tx))).rowcount:
        raise Conflict("these jobs were sent again already")
    one = _selection(tx.execute(select(selections).where(selections.c.id == selection_id)).one())
    control.lock_batch(tx, one.batch_id)
    if _count(tx, one.batch_id, one.chosen, one.upper_row)["digest"] != one.digest:
        raise Conflict("these jobs changed since you saw them: nothing was sent; look again and decide anew")
    clauses = (*chosen_jobs(one.batch_id, one.chosen), jobs.c.row <= one.upper_row)
    moved = control.retry(tx, one.batch_id, TROUBLE, *clauses)
    record(tx, Act(who, "retry", one.batch_id, _told(one, moved)))
    return moved


def _count(tx: Connection, batch_id: str, chosen: JobFilter, upper_row: int | None) -> dict[str, Any]:
    """What the filter means now, up to a row: everything a selection keeps of it."""
    columns = (jobs.c.row, jobs.c.custom_id, jobs.c.state, jobs.c.attempts, jobs.c.ceiling_nano)
    statement = select(*columns).where(*chosen_jobs(batch_id, chosen), jobs.c.state.in_(TROUBLE))
    if upper_row is not None:
        statement = statement.where(jobs.c.row <= upper_row)
    digest, sample = hashlib.sha256(), []
    number = worst_nano = held = last = 0
    with tx.execute(statement.order_by(jobs.c.row), execution_options={"yield_per": _PAGE}) as rows:
        for row in rows:
            digest.update(f"{row.row}:{row.state}:{row.attempts};".encode())
            sample += [row.custom_id] if number < _SAMPLE else []
            number, worst_nano, last = number + 1, worst_nano + row.ceiling_nano, row.row
            held += row.state == JobState.HELD
    return {
        "upper_row": last,
        "jobs": number,
        "worst_nano": worst_nano,
        "held": held,
        "sample": json.dumps(sample, ensure_ascii=False),
        "digest": digest.hexdigest(),
    }


def _told(one: Selection, moved: int) -> Mapping[str, Any]:
    words = {"state": one.chosen.state, "cause": one.chosen.cause, "model": one.chosen.model}
    asked = {name: word for name, word in words.items() if word}
    return {"selection": one.id, **asked, "worst_case_nanodollars": one.worst_nano, "moved": moved}


def _selection(row: AnyRow) -> Selection:
    return Selection(
        id=row.id,
        batch_id=row.batch_id,
        who=row.who,
        chosen=JobFilter(**json.loads(row.filter)),
        upper_row=row.upper_row,
        jobs=row.jobs,
        worst_nano=row.worst_nano,
        held=row.held,
        sample=tuple(json.loads(row.sample)),
        digest=row.digest,
        created_at=row.created_at,
        used_at=row.used_at,
    )
