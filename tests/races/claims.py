"""Rivals for the claim: claimers of which some die, sweeps and replays that find what the dead left.

Claimers and sweeps work on one batch that repeats doubts without end, until every job of it has its result.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from jobs.catalogue.prices import PriceBook
from jobs.ids import new_worker_id
from jobs.ledger import recovery, schema
from jobs.ledger.admission import WorkerFenced
from jobs.ledger.engine import Ledger
from jobs.settings import load_settings
from jobs.states import Outcome
from jobs.storage import open_store
from tests.integration.ledgers import (
    ENDPOINT,
    ask,
    at_once,
    book,
    change,
    let_lease_run_out,
    succeeded,
)
from tests.pictures import USAGE, picture
from worker.booking import Booking
from worker.calls import Answer, ReceivedImage
from worker.replay import replay_abandoned
from worker.spool import Spool

DIES = 1 / 7
"""So probably is an admission the last of its worker."""
_BEAT_EVERY_S = 5.0
_BREATH_S = 0.01


@dataclass
class Told:
    """What one rival saw. `left` are the attempts it died with."""

    admitted: list[tuple[int, int, str]] = field(default_factory=list)
    """(row, number, attempt id)"""
    left: list[str] = field(default_factory=list)
    swept: int = 0
    replayed: int = 0


class Heart:
    """Keeps one worker alive, as the timer of a process does."""

    def __init__(self, ledger: Ledger, worker_id: str) -> None:
        self._ledger, self.worker_id = ledger, worker_id
        self._next_s = time.monotonic() + _BEAT_EVERY_S

    def beat(self) -> None:
        if time.monotonic() > self._next_s:
            self._ledger.write(recovery.beat, self.worker_id, in_flight=0)
            self._next_s = time.monotonic() + _BEAT_EVERY_S


def claim(batch_id: str, most: int, ledger: Ledger, meet: Callable[[], int]) -> Told:
    """Admit and settle until the batch is done; now and then die with what was admitted."""
    told, heart = Told(), Heart(ledger, register(ledger))
    while not _done(ledger, batch_id):
        heart.beat()
        try:
            admitted = ask(ledger, batch_id, most, heart.worker_id).admitted
        except WorkerFenced:  # the machine was slower than its lease
            heart = Heart(ledger, register(ledger))
            continue
        told.admitted += [(one.row, one.number, one.attempt_id) for one in admitted]
        if not admitted:
            time.sleep(_BREATH_S)
        elif random.random() > DIES:
            book(ledger, *[succeeded(one.attempt_id) for one in admitted], retry=at_once)
        else:
            told.left += [one.attempt_id for one in admitted]
            let_lease_run_out(ledger, heart.worker_id)
            heart = Heart(ledger, register(ledger))
    return told


def sweep(batch_id: str, ledger: Ledger, meet: Callable[[], int]) -> Told:
    """Sweep as often as can be until the batch is done."""
    told, heart = Told(), Heart(ledger, register(ledger))
    mine = schema.workers.c.id == heart.worker_id
    change(ledger, schema.workers, mine, steady_since=schema.workers.c.steady_since - 120_000)
    while not _done(ledger, batch_id):
        heart.beat()
        told.swept += ledger.write(recovery.sweep, heart.worker_id, at_once).attempts
        time.sleep(_BREATH_S)
    return told


def replay(folder: Path, ledger: Ledger, meet: Callable[[], int]) -> Told:
    """Replay whatever dead process's spool is there, until none is left."""
    settings = load_settings(data_dir=folder, endpoint_url=ENDPOINT)
    booked = 0

    def counting(*args: Any) -> Any:
        nonlocal booked
        settled = booking.book(*args)
        booked += settled.attempts
        return settled

    booking = Booking(ledger, open_store(settings.images_url), PriceBook.load(None), ENDPOINT)
    process = SimpleNamespace(
        settings=settings, ledger=ledger, booking=SimpleNamespace(book=counting, retry=booking.retry)
    )
    while any(settings.spool_dir.iterdir()):
        replay_abandoned(process)  # type: ignore[arg-type]
    return Told(replayed=booked)


def leave_spools(ledger: Ledger, batch_id: str, folder: Path, spools: int, jobs: int) -> set[str]:
    """Dead processes' spools, each with so many owned and unsettled answers."""
    left: set[str] = set()
    for number in range(spools):
        name = f"dead-{number}"
        worker_id = register(ledger, name)
        admitted = ask(ledger, batch_id, jobs, worker_id).admitted
        let_lease_run_out(ledger, worker_id)  # so that sweeps and replays are after the same attempts
        spool = Spool(load_settings(data_dir=folder).spool_dir, name)
        for one in admitted:
            spool.sent.note(one.attempt_id)
            spool.own([_answer(spool, one.attempt_id)])
        spool.close()
        left |= {one.attempt_id for one in admitted}
    return left


def register(ledger: Ledger, spool: str = "") -> str:
    """A live worker whose name no other process makes up."""
    worker_id = new_worker_id()
    ledger.write(recovery.register_worker, worker_id, "here", 1, spool or worker_id)
    return worker_id


def _answer(spool: Spool, attempt_id: str) -> Answer:
    data = picture()
    name = f"{attempt_id}-0.part"
    spool.part_path(name).write_bytes(data)
    image = ReceivedImage(0, name, "00" * 32, len(data), "png", 20, 10)
    return Answer(attempt_id, Outcome.SUCCEEDED, http_status=200, images=(image,), usage=USAGE)


def _done(ledger: Ledger, batch_id: str) -> bool:
    with ledger.read() as tx:
        state = tx.execute(select(schema.batches.c.state).where(schema.batches.c.id == batch_id)).scalar_one()
    return bool(state == "done")
