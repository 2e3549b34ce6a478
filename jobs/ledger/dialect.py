"""What the OpenAI dialect knows beside the batches themselves: how it was asked, and what it has answered.

A batch here is an ordinary one under the same id, with the words of the client beside it; where the client's file
was not valid there is only the row that says so. Nothing here decides about money or work.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, insert, literal, select, tuple_, update

from jobs.ledger import clock, files
from jobs.ledger.engine import AnyRow, insert_missing
from jobs.ledger.files import File
from jobs.ledger.schema import batches, openai_batches, openai_requests
from jobs.states import BatchState

_ENDED = (BatchState.DONE, BatchState.CANCELLED)
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Asked:
    """How a client asked for a batch. `errors`: why nothing was recorded; then the id is of no batch."""

    id: str
    input_file_id: str
    metadata: Mapping[str, str] | None
    outputs_live_s: int | None = None
    errors: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A batch of the dialect. Moments in milliseconds since 1970 UTC; `ended_at` that of the batch itself."""

    asked: Asked
    created_at: int
    cancelling_at: int | None
    ended_at: int | None
    collected_at: int | None
    output_file_id: str | None
    error_file_id: str | None

    @property
    def is_collected(self) -> bool:
        """Whether its output files are of its present end; a batch that was retried ends again."""
        return self.ended_at is not None and self.ended_at == self.collected_at


def add_batch(tx: Connection, asked: Asked) -> None:
    """Remember how it was asked for; the first time counts."""
    row = {
        "id": asked.id,
        "input_file_id": asked.input_file_id,
        "told": json.dumps(asked.metadata),
        "errors": None if asked.errors is None else json.dumps(asked.errors),
        "outputs_live_s": asked.outputs_live_s,
        "created_at": clock.now(tx),
    }
    insert_missing(tx, openai_batches, [row])


def find_batch(tx: Connection, batch_id: str) -> Known | None:
    row = tx.execute(_batches().where(openai_batches.c.id == batch_id)).one_or_none()
    return _known(row) if row else None


def list_batches(tx: Connection, most: int, after: Known | None) -> list[Known]:
    """The batches behind `after`, the newest first."""
    key = (openai_batches.c.created_at, openai_batches.c.id)
    statement = _batches().order_by(*(column.desc() for column in key))
    if after is not None:
        statement = statement.where(tuple_(*key) < tuple_(literal(after.created_at), literal(after.asked.id)))
    return [_known(row) for row in tx.execute(statement.limit(most))]


def uncollected(tx: Connection, most: int) -> list[str]:
    """Batches that ended and whose output files are not known yet, the newest first."""
    ended = batches.c.state.in_(_ENDED) & batches.c.ended_at.is_distinct_from(openai_batches.c.collected_at)
    statement = _batches().where(ended).order_by(openai_batches.c.created_at.desc()).limit(most)
    return [row.id for row in tx.execute(statement)]


def was_cancelled(tx: Connection, batch_id: str) -> None:
    mine = (openai_batches.c.id == batch_id, openai_batches.c.cancelling_at.is_(None))
    tx.execute(update(openai_batches).where(*mine).values(cancelling_at=clock.now(tx)))


def collect(tx: Connection, batch_id: str, ended_at: int, output: File | None, error: File | None) -> bool:
    """Give the batch its output files, if it still stands as it did at `ended_at`."""
    still = select(batches.c.id).where(batches.c.id == batch_id, batches.c.ended_at == ended_at)
    if tx.execute(still.with_for_update(key_share=True)).one_or_none() is None:
        return False
    for file in (output, error):
        if file:
            files.replace(tx, file)
    ids = {"output_file_id": output.id if output else None, "error_file_id": error.id if error else None}
    mine = update(openai_batches).where(openai_batches.c.id == batch_id)
    tx.execute(mine.values(collected_at=ended_at, **ids))
    return True


def batch_of_output(tx: Connection, file_id: str) -> Known | None:
    """The batch whose output the file is."""
    named = (openai_batches.c.output_file_id == file_id) | (openai_batches.c.error_file_id == file_id)
    owner = openai_batches.c.id == owner_of(file_id)
    row = tx.execute(_batches().where(owner, named)).one_or_none()
    return _known(row) if row else None


def output_id(batch_id: str, what: str) -> str:
    """The id of an output file: it says whose it is."""
    return f"file-{batch_id}-{what}"


def owner_of(file_id: str) -> str:
    return file_id.removeprefix("file-").rpartition("-")[0]


def add_request(tx: Connection, batch_id: str, caller: str, sha256: str) -> None:
    """Remember a single request; called in the transaction that opens its batch."""
    row = {"batch_id": batch_id, "caller": caller, "sha256": sha256, "created_at": clock.now(tx)}
    tx.execute(insert(openai_requests).values(**row))


def answered(tx: Connection, batch_id: str) -> None:
    """The whole answer was handed to the network."""
    tx.execute(
        update(openai_requests).where(openai_requests.c.batch_id == batch_id).values(answered_at=clock.now(tx))
    )


def take_up(tx: Connection, caller: str, sha256: str, within_s: int) -> str | None:
    """The batch of an equal request whose answer may not have arrived, for a retry that brings no key.

    An answer that went out a minute ago may have been lost on the way. Of several the one with the fewest retries
    is taken, so that requests that were sent side by side each get their own back.
    """
    table, now = openai_requests, clock.now(tx)
    unseen = table.c.answered_at.is_(None) | (table.c.answered_at > now - _MINUTE_MS)
    equal = (table.c.caller == caller, table.c.sha256 == sha256, table.c.created_at > now - within_s * 1000)
    order = (table.c.repeats, table.c.created_at)
    fewest = select(table.c.batch_id).where(*equal, unseen).order_by(*order).limit(1).with_for_update()
    found = tx.execute(fewest).scalar()
    if found is not None:
        mine = update(table).where(table.c.batch_id == found)
        tx.execute(mine.values(repeats=table.c.repeats + 1))
    return found


def _batches() -> Select[Any]:
    joined = openai_batches.outerjoin(batches, batches.c.id == openai_batches.c.id)
    return select(openai_batches, batches.c.ended_at).select_from(joined)


def _known(row: AnyRow) -> Known:
    errors = None if row.errors is None else json.loads(row.errors)
    return Known(
        asked=Asked(row.id, row.input_file_id, json.loads(row.told), row.outputs_live_s, errors),
        created_at=row.created_at,
        cancelling_at=row.cancelling_at,
        ended_at=row.ended_at,
        collected_at=row.collected_at,
        output_file_id=row.output_file_id,
        error_file_id=row.error_file_id,
    )
