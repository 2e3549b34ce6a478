"""How a batch enters the ledger: staged in pieces under `loading`, opened whole by one last transaction.

Dispatch ignores what is loading, so a submission killed at any moment leaves nothing that runs. That the same
file with the same settings is one batch is decided by the unique key on (fingerprint, edition), when it opens.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from jobs.errors import Conflict
from jobs.ledger import clock
from jobs.ledger.bulk import BulkRow, analyze, load_rows
from jobs.ledger.engine import insert_missing
from jobs.ledger.schema import batches, budgets, job_tallies, jobs, tag_sets
from jobs.states import BatchState, JobState

_ABANDONED_MS = 24 * 3600 * 1000
_MANY = 2_000
"""Jobs of one batch from which on the table's old statistics mislead."""
_STAGED = (
    "batch_id",
    "row",
    "custom_id",
    "state",
    "model",
    "n",
    "request",
    "tag_set",
    "ceiling_nano",
    "tokens",
    "due_at",
)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as submitted. `settings` is what its result depends on, as JSON."""

    id: str
    name: str
    fingerprint: str
    edition: int
    manifest_sha256: str
    settings: str
    max_attempts: int
    retry_unknown: int
    time_limit_s: int
    max_possible_nano: int | None = None


class NewJob(msgspec.Struct, frozen=True):
    """One checked row. `request` is the JSON body for the wire; `tokens` what one call is expected to use.

    A struct and no dataclass because a manifest makes a million of them.
    """

    row: int
    custom_id: str
    model: str
    n: int
    request: str
    tags: dict[str, str]
    ceiling_nano: int
    tokens: int


def find_batch(tx: Connection, fingerprint: str) -> tuple[str, int, int] | None:
    """(id, edition, jobs) of the newest opened batch with this fingerprint."""
    statement = (
        select(batches.c.id, batches.c.edition, batches.c.jobs)
        .where(batches.c.fingerprint == fingerprint, batches.c.state != BatchState.LOADING)
        .order_by(batches.c.edition.desc())
    )
    row = tx.execute(statement).first()
    return (row.id, row.edition, row.jobs) if row else None


def begin_batch(tx: Connection, batch: NewBatch) -> None:
    """Start loading; also clears away what submissions killed a day ago or more had staged."""
    now = clock.now(tx)
    stale = select(batches.c.id).where(
        batches.c.state == BatchState.LOADING, batches.c.created_at < now - _ABANDONED_MS
    )
    for batch_id in tx.execute(stale).scalars().all():
        discard_batch(tx, batch_id)
    tx.execute(insert(batches).values(**asdict(batch), state=BatchState.LOADING.value, created_at=now))


def stage_jobs(tx: Connection, batch_id: str, rows: Sequence[NewJob]) -> None:
    """Stage some thousand rows; call it as often as there are pieces."""
    sets: dict[int, str] = {}
    staged = [_job_row(batch_id, row, sets) for row in rows]
    insert_missing(tx, tag_sets, [{"id": key, "tags": tags} for key, tags in sorted(sets.items())])
    load_rows(tx, jobs, _STAGED, staged)


def open_batch(
    tx: Connection,
    batch_id: str,
    by_model: Counter[str],
    cap_nano: int | None,
    on_open: Callable[[Connection, str], None] | None = None,
) -> None:
    """Open the loaded batch; `on_open` writes what must be there with it. The ledger raises Conflict when the same
    submission was opened in the meantime."""
    now = clock.now(tx)
    tx.execute(insert(budgets).values(scope="batch", key=batch_id, cap_nano=cap_nano))
    tallies = [
        {"batch_id": batch_id, "model": model, "state": JobState.QUEUED.value, "jobs": count}
        for model, count in sorted(by_model.items())
    ]
    tx.execute(insert(job_tallies), tallies)
    opened = {"state": BatchState.OPEN.value, "opened_at": now, "jobs": by_model.total()}
    loading = (batches.c.id == batch_id, batches.c.state == BatchState.LOADING)
    if not tx.execute(update(batches).where(*loading).values(**opened)).rowcount:
        raise Conflict(f"batch {batch_id} is not loading any more: it was opened, or cleared away as abandoned")
    if on_open:
        on_open(tx, batch_id)
    if by_model.total() >= _MANY:
        analyze(tx, jobs)


def discard_batch(tx: Connection, batch_id: str) -> None:
    """Remove a batch that never opened, with its rows."""
    loading = select(batches.c.id).where(batches.c.id == batch_id, batches.c.state == BatchState.LOADING)
    tx.execute(delete(jobs).where(jobs.c.batch_id.in_(loading)))
    tx.execute(delete(batches).where(batches.c.id == batch_id, batches.c.state == BatchState.LOADING))


def tags_text(tags: dict[str, str]) -> str:
    return json.dumps(tags, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def tags_id(tags: dict[str, str]) -> int:
    """A name for a set of tags that needs no look-up: 63 bits of its hash. A million different sets in one
    ledger meet with a chance of one in ten million."""
    return _tag_set(tuple(tags.items()))[0]


@lru_cache(maxsize=1024)
def _tag_set(tags: tuple[tuple[str, str], ...]) -> tuple[int, str]:
    """Id and text, remembered because rows share their tags more often than not."""
    text = tags_text(dict(tags))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1, text


def _job_row(batch_id: str, row: NewJob, sets: dict[int, str]) -> BulkRow:
    """In the order of _STAGED; the row's tags are added to `sets`."""
    tag_set, tags = _tag_set(tuple(row.tags.items()))
    sets[tag_set] = tags
    due_at = 0  # at once, also after a clock was set back
    return (
        batch_id,
        row.row,
        row.custom_id,
        JobState.QUEUED.value,
        row.model,
        row.n,
        row.request,
        tag_set,
        row.ceiling_nano,
        row.tokens,
        due_at,
    )
