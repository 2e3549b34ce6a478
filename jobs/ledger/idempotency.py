"""Idempotency-Keys: a request that is repeated under its key is the batch that it made the first time.

The key is bound in the transaction that opens the batch, so that no crash leaves one without the other, and of two
requests at once the second finds its key taken (Conflict) and opens nothing.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from jobs.ledger import clock
from jobs.ledger.schema import idempotency_keys


@dataclass(frozen=True, slots=True)
class Bound:
    """What a key was used for."""

    fingerprint: str
    batch_id: str


def find_key(tx: Connection, caller: str, key: str) -> Bound | None:
    table = idempotency_keys
    row = tx.execute(select(table).where(table.c.caller == caller, table.c.key == key)).first()
    return Bound(row.fingerprint, row.batch_id) if row else None


def bind_key(tx: Connection, batch_id: str, *, caller: str, key: str, fingerprint: str) -> None:
    """Raises Conflict, through the ledger, where the key is bound already."""
    row = {"caller": caller, "key": key, "fingerprint": fingerprint, "batch_id": batch_id}
    tx.execute(insert(idempotency_keys).values(**row, created_at=clock.now(tx)))
