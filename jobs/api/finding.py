"""Finding what a path names. Raises Problem 404 where there is none."""

from typing import Annotated

from fastapi import Path

from jobs.api.problems import Problem
from jobs.api.service import Service
from jobs.ledger.figures import match_batch
from jobs.ledger.overview import Transaction

BatchId = Annotated[str, Path(max_length=40, description="id of a batch, such as b_7Q2M0001")]


def require_batch(tx: Transaction, batch_id: str) -> None:
    """Batches that are being loaded are not there yet."""
    if match_batch(tx, batch_id) != [batch_id]:
        raise Problem(404, "no_such_batch", "there is no such batch", next_="GET /api/batches lists them")


def require_batch_of(service: Service, batch_id: str) -> None:
    with service.ledger.read() as tx:
        require_batch(tx, batch_id)
