"""The files of the OpenAI dialect: manifests that were uploaded, and the outputs that batches have when they end.

Rows only. The bytes of an upload lie in the data folder under the row's id; an output is made of the ledger's rows
and the image store whenever it is read, and has no bytes of its own. A file that expired is as good as deleted.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, literal, select, tuple_, update

from jobs.ledger import clock
from jobs.ledger.engine import AnyRow
from jobs.ledger.schema import files
from jobs.ledger.sets import among

BATCH = "batch"
BATCH_OUTPUT = "batch_output"


@dataclass(frozen=True, slots=True)
class File:
    """Moments in milliseconds since 1970 UTC."""

    id: str
    purpose: str
    name: str
    bytes: int
    created_at: int
    expires_at: int | None = None
    sha256: str | None = None


def add(
    tx: Connection, file_id: str, purpose: str, name: str, size: int, sha256: str | None, lives_s: int | None
) -> File:
    """The file as it is from now on. `lives_s` None: for ever."""
    now = clock.now(tx)
    expires_at = None if lives_s is None else now + lives_s * 1000
    file = File(file_id, purpose, name, size, now, expires_at, sha256)
    tx.execute(insert(files).values(**asdict(file)))
    return file


def replace(tx: Connection, file: File) -> None:
    """Put the file in the place of one of the same id, deleted or not."""
    tx.execute(delete(files).where(files.c.id == file.id))
    tx.execute(insert(files).values(**asdict(file)))


def find(tx: Connection, file_id: str) -> File | None:
    row = tx.execute(select(files).where(files.c.id == file_id, _is_live(tx))).one_or_none()
    return _file(row) if row else None


def list_files(
    tx: Connection, purpose: str | None, most: int, after: File | None, *, newest_first: bool
) -> list[File]:
    """The files behind `after` in order of their making; None: from the first."""
    key = (files.c.created_at, files.c.id)
    statement = select(files).where(_is_live(tx))
    if purpose is not None:
        statement = statement.where(files.c.purpose == purpose)
    if after is not None:
        known = tuple_(literal(after.created_at), literal(after.id))
        statement = statement.where(tuple_(*key) < known if newest_first else tuple_(*key) > known)
    order = [column.desc() if newest_first else column for column in key]
    return [_file(row) for row in tx.execute(statement.order_by(*order).limit(most))]


def remove(tx: Connection, file_id: str) -> bool:
    """Whether there was one."""
    gone = update(files).where(files.c.id == file_id, _is_live(tx)).values(deleted_at=clock.now(tx))
    return tx.execute(gone).rowcount == 1


def live_among(tx: Connection, ids: Collection[str]) -> set[str]:
    statement = select(files.c.id).where(among(files.c.id, "ids"), _is_live(tx))
    return set(tx.execute(statement, {"ids": [*ids]}).scalars())


def _is_live(tx: Connection) -> ColumnElement[bool]:
    expired = files.c.expires_at <= clock.now(tx)
    return files.c.deleted_at.is_(None) & (files.c.expires_at.is_(None) | ~expired)


def _file(row: AnyRow) -> File:
    return File(row.id, row.purpose, row.name, row.bytes, row.created_at, row.expires_at, row.sha256)
