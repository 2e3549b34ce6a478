"""Who decided what: one row for each act of a person, or of a worker that stopped something by itself.

Written in the transaction of the act, so that neither is there without the other. Rows are only ever added.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, insert, select

from jobs.ledger import clock
from jobs.ledger.clock import iso
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import acts

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Act:
    """One decision. `what` holds its arguments, counts and money, as JSON can say them."""

    who: str
    verb: str
    """The command's name."""
    batch_id: str | None = None
    what: Mapping[str, Any] = field(default_factory=dict)
    evidence: str | None = None


def record(tx: Connection, act: Act) -> None:
    row = {
        "at": clock.now(tx),
        "who": act.who,
        "verb": act.verb,
        "batch_id": act.batch_id,
        "what": json.dumps(act.what, ensure_ascii=False, sort_keys=True),
        "evidence": act.evidence,
    }
    tx.execute(insert(acts).values(**row))


def recorded(
    tx: Connection, act: Act, move: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Make a move and write down who made it, with the number it moved. One that says it moved nothing (0, False,
    an empty list) is no act."""
    moved = move(tx, *args, **kwargs)
    if moved is None or moved is True:
        record(tx, act)
    elif moved:
        record(tx, replace(act, what={**act.what, "moved": len(moved) if isinstance(moved, list) else moved}))
    return moved


def list_acts(
    tx: Connection, batch_id: str | None = None, limit: int | None = None, before: int | None = None
) -> Iterator[dict[str, Any]]:
    """The acts of one batch or of all, the newest first, streamed; `before`: those older than that one."""
    statement = select(acts).order_by(acts.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(acts.c.id < before)
    if batch_id is not None:
        statement = statement.where(acts.c.batch_id == batch_id)
    with tx.execute(statement, execution_options={"yield_per": _PAGE}) as rows:
        for row in rows:
            yield _shaped(row)


def _shaped(row: AnyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": iso(row.at),
        "who": row.who,
        "verb": row.verb,
        "batch": row.batch_id,
        "what": json.loads(row.what),
        "evidence": row.evidence,
    }
