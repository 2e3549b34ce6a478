"""Idempotency-Keys: a request that is repeated under its key is the batch that it made the first time.

The key is bound in the transaction that opens the batch, so that no crash leaves one without the other, and of two
requests at once the second finds its key taken (Conflict) and opens nothing.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from jobs.ledger import clock
from jobs.ledger.schema import idempotency_keys


@dataclass(frozen=True, slots=True)
class Key:
    """An Idempotency-Key of one caller, with the fingerprint of the request it came with."""

    caller: str
    text: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Bound:
    """What a key was used for."""

    fingerprint: str
    batch_id: str


def find_key(tx: Connection, key: Key) -> Bound | None:
    table = idempotency_keys
    row = tx.execute(select(table).where(table.c.caller == key.caller, table.c.key == key.text)).first()
    return Bound(row.fingerprint, row.batch_id) if row else None


def bind_key(tx: Connection, batch_id: str, key: Key) -> None:
    """Raises Conflict, through the ledger, where the key is bound already."""
    row = {"caller": key.caller, "key": key.text, "fingerprint": key.fingerprint, "batch_id": batch_id}
    tx.execute(insert(idempotency_keys).values(**row, created_at=clock.now(tx)))
