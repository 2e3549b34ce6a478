"""Ledger scenarios in few words: batches, workers, admissions, endings, and rows moved into the past.

Built on the ledger's own functions; only what a test could otherwise reach by waiting (a lease that ran out,
a due time that came) is written into the tables directly.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, select, update

from jobs.ledger import intake, recount, recovery, schema
from jobs.ledger.admission import Admission, Admitted, Claimer, admit
from jobs.ledger.endings import Ending, JobFacts, RetryDecision, StoredImage
from jobs.ledger.engine import AnyRow, Ledger
from jobs.ledger.intake import NewBatch, NewJob
from jobs.ledger.settlement import Settled, settle
from jobs.money import Charge, Cost, Meter
from jobs.pacing import Caps
from jobs.states import Outcome
from worker.retries import RetryPolicy, next_try

T = TypeVar("T")

ENDPOINT = "http://127.0.0.1:9/v1"
MODEL = "gpt-image-1"
CEILING = 1_000
"""Nano-dollars that each job of these scenarios reserves."""
PRICE = 600
"""Nano-dollars that each of them is charged when it succeeds."""
DEADLINE_MS = 900_000

_numbers = itertools.count(1)


def by_policy(job: JobFacts, ending: Ending) -> int | None:
    """The retry decision of the product, without its jitter."""
    return next_try(RetryPolicy(), job, ending, 0.0)


def at_once(job: JobFacts, ending: Ending) -> int | None:
    """The same decision, but what may be tried again is due at once."""
    return None if by_policy(job, ending) is None else 0


def new_job(row: int, **changes: Any) -> NewJob:
    values = {
        "row": row,
        "custom_id": f"row-{row}",
        "model": MODEL,
        "n": 1,
        "request": f'{{"model":"{MODEL}","prompt":"a fox, number {row}"}}',
        "tags": {},
        "ceiling_nano": CEILING,
        "tokens": 300,
    }
    return NewJob(**{**values, **changes})


def new_batch(fingerprint: str = "", **changes: Any) -> NewBatch:
    number = next(_numbers)
    values = {
        "id": f"b_{number:08d}",
        "name": f"batch {number}",
        "fingerprint": fingerprint or f"fingerprint {number}",
        "edition": 1,
        "manifest_sha256": "00",
        "settings": "{}",
        "max_attempts": 5,
        "retry_unknown": 0,
        "time_limit_s": 3600,
    }
    return NewBatch(**{**values, **changes})


def open_batch(ledger: Ledger, rows: int | Sequence[NewJob] = 1, budget: int | None = None, **changes: Any) -> str:
    """Record and open a batch; returns its id. `changes` are fields of NewBatch."""
    jobs = [new_job(row) for row in range(1, rows + 1)] if isinstance(rows, int) else list(rows)
    batch = new_batch(**changes)
    ledger.write(intake.begin_batch, batch)
    ledger.write(intake.stage_jobs, batch.id, jobs)
    ledger.write(intake.open_batch, batch.id, Counter(job.model for job in jobs), budget)
    return batch.id


def live_worker(ledger: Ledger, spool: str = "") -> str:
    worker_id = f"w_{next(_numbers):012d}"
    ledger.write(recovery.register_worker, worker_id, "here", 1, spool or worker_id)
    return worker_id


def claimer(worker_id: str, caps: Caps = Caps(), endpoint: str = ENDPOINT) -> Claimer:  # noqa: B008 - frozen
    return Claimer(worker_id, endpoint, caps, DEADLINE_MS)


def ask(ledger: Ledger, batch_id: str, most: int = 1, worker_id: str = "", **whose: Any) -> Admission:
    """Admit for a worker; a fresh one unless it is named."""
    return ledger.write(admit, claimer(worker_id or live_worker(ledger), **whose), batch_id, most)


def admit_one(ledger: Ledger, batch_id: str, worker_id: str = "") -> Admitted:
    (admitted,) = ask(ledger, batch_id, 1, worker_id).admitted
    return admitted


def cost(nano: int | None = PRICE) -> Cost:
    """A cost of one meter; None: a charge without a price."""
    rate = None if nano is None else nano * 1_000_000
    return Cost.of([Charge(Meter.IMAGE, 1, "image", rate, nano)], "usage")


def stored(attempt_id: str, index: int = 0) -> StoredImage:
    return StoredImage(index, f"x/{attempt_id}_{index}.png", "ab" * 32, 4096, "png", 64, 64, None)


def succeeded(attempt_id: str, images: int = 1, nano: int | None = PRICE) -> Ending:
    return Ending(
        attempt_id,
        Outcome.SUCCEEDED,
        http_status=200,
        request_id="req_1",
        usage={"total_tokens": 1},
        cost=cost(nano),
        price_book="test",
        images=tuple(stored(attempt_id, index) for index in range(images)),
    )


def image_lost(attempt_id: str, nano: int | None = PRICE) -> Ending:
    price = cost(nano)
    return Ending(
        attempt_id, Outcome.IMAGE_LOST, http_status=200, error_kind="empty", cost=price, price_book="test"
    )


def refused(attempt_id: str) -> Ending:
    return Ending(attempt_id, Outcome.REFUSED, http_status=400, error_kind="moderation_blocked")


def rejected(attempt_id: str) -> Ending:
    return Ending(
        attempt_id, Outcome.REJECTED, http_status=400, error_kind="invalid_value", error_message="no such size"
    )


def account_trouble(attempt_id: str) -> Ending:
    return Ending(attempt_id, Outcome.REJECTED, http_status=401, error_kind="invalid_api_key", account_trouble=True)


def throttled(attempt_id: str) -> Ending:
    return Ending(attempt_id, Outcome.THROTTLED, http_status=429, error_kind="rate_limit_exceeded", retryable=True)


def errored(attempt_id: str) -> Ending:
    return Ending(attempt_id, Outcome.ERRORED, http_status=500, error_kind="server_error", retryable=True)


def unknown(attempt_id: str) -> Ending:
    return Ending(attempt_id, Outcome.UNKNOWN, error_kind="read_timeout", retryable=True)


def not_sent(attempt_id: str) -> Ending:
    return Ending(attempt_id, Outcome.NOT_SENT, error_kind="stopped_before_sending")


def book(ledger: Ledger, *endings: Ending, retry: RetryDecision = by_policy) -> Settled:
    return ledger.write(settle, endings, retry)


def job_row(ledger: Ledger, batch_id: str, row: int = 1) -> AnyRow:
    table = schema.jobs
    return _one(ledger, select(table).where(table.c.batch_id == batch_id, table.c.row == row))


def attempt_row(ledger: Ledger, attempt_id: str) -> AnyRow:
    return _one(ledger, select(schema.attempts).where(schema.attempts.c.id == attempt_id))


def batch_row(ledger: Ledger, batch_id: str) -> AnyRow:
    return _one(ledger, select(schema.batches).where(schema.batches.c.id == batch_id))


def worker_row(ledger: Ledger, worker_id: str) -> AnyRow:
    return _one(ledger, select(schema.workers).where(schema.workers.c.id == worker_id))


def money(ledger: Ledger, batch_id: str) -> tuple[int, int, int]:
    """(confirmed, possible, reserved) of the batch, in nano-dollars."""
    table = schema.budgets
    row = _one(ledger, select(table).where(table.c.scope == "batch", table.c.key == batch_id))
    return row.confirmed_nano, row.possible_nano, row.reserved_nano


def states(ledger: Ledger, batch_id: str) -> Counter[str]:
    table = schema.jobs
    with ledger.read() as tx:
        return Counter(tx.execute(select(table.c.state).where(table.c.batch_id == batch_id)).scalars())


def count(ledger: Ledger, table: Any, *where: Any) -> int:
    with ledger.read() as tx:
        return len(tx.execute(select(table).where(*where)).all())


def change(ledger: Ledger, table: Any, *where: Any, **values: Any) -> None:
    """Write into a table what a test would otherwise have to wait for."""

    def act(tx: Connection) -> None:
        tx.execute(update(table).where(*where).values(**values))

    ledger.write(act)


def make_due(ledger: Ledger, batch_id: str) -> None:
    """The due time of every job of the batch has come."""
    change(ledger, schema.jobs, schema.jobs.c.batch_id == batch_id, due_at=0)


def let_lease_run_out(ledger: Ledger, worker_id: str, ms: int = 61_000) -> None:
    """The worker's last beat was so long ago."""
    table = schema.workers
    change(ledger, table, table.c.id == worker_id, beat_at=table.c.beat_at - ms)


def steady_worker(ledger: Ledger) -> str:
    """A worker that has been beating without a gap for longer than a lease: it may sweep."""
    worker_id = live_worker(ledger)
    table = schema.workers
    change(ledger, table, table.c.id == worker_id, steady_since=table.c.steady_since - 120_000)
    return worker_id


def assert_totals_agree(ledger: Ledger) -> None:
    with ledger.read() as tx:
        assert recount.differences(tx) == []


def all_at_once(acts: Sequence[Callable[[], T]]) -> list[T]:
    """Run the acts in threads that start together; their results in order. Raises what any of them raised."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        barrier.wait(30)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [done.result(60) for done in [pool.submit(run, act) for act in acts]]


def _one(ledger: Ledger, statement: Any) -> AnyRow:
    with ledger.read() as tx:
        return tx.execute(statement).one()
