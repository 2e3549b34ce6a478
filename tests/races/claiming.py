"""The race for the claim, whole: set up, fought, judged. Short in every run, long with the slow tests."""

from collections import Counter
from functools import partial
from pathlib import Path

from sqlalchemy import select

from jobs.ledger import schema
from jobs.ledger.engine import AnyRow, Ledger
from tests.integration.ledgers import new_job, open_batch, states
from tests.races.claims import Told, claim, leave_spools, replay, sweep
from tests.races.ring import Rival, race

SPOOLS, ANSWERS_EACH = 4, 6


def race_for_claims(ledger: Ledger, folder: Path, *, jobs: int, processes: int = 2, most: int = 4) -> list[Told]:
    """50 claimers, two sweeps and two replays; afterwards every job has one result, and every doubt its reason."""
    batch = open_batch(ledger, jobs, max_attempts=1_000, retry_unknown=1_000)
    dear = [new_job(row, ceiling_nano=10**9) for row in range(1, SPOOLS * ANSWERS_EACH + 1)]
    spooled = open_batch(ledger, dear)
    owned = leave_spools(ledger, spooled, folder, SPOOLS, ANSWERS_EACH)
    rivals: list[Rival] = [partial(claim, batch, most)] * 50
    rivals += [partial(sweep, batch)] * 2 + [partial(replay, folder)] * 2
    told: list[Told] = race(ledger, [rivals[number::processes] for number in range(processes)])
    _judge_claims(ledger, batch, jobs, told)
    _judge_replays(ledger, spooled, owned, folder, told)
    return told


def _judge_claims(ledger: Ledger, batch: str, jobs: int, told: list[Told]) -> None:
    admitted = [one for each in told for one in each.admitted]
    left = {attempt for each in told for attempt in each.left}
    attempts = _attempts(ledger, batch)
    assert sorted(admitted) == sorted((one.row, one.number, one.id) for one in attempts)
    assert len({(row, number) for row, number, _ in admitted}) == len(admitted)
    assert {one.id for one in attempts if one.outcome == "unknown"} == left
    results = Counter(one.row for one in attempts if one.outcome == "succeeded")
    assert results == dict.fromkeys(range(1, jobs + 1), 1)
    assert len(attempts) == jobs + len(left)
    assert states(ledger, batch) == {"succeeded": jobs}


def _judge_replays(ledger: Ledger, batch: str, owned: set[str], folder: Path, told: list[Told]) -> None:
    assert sum(each.replayed for each in told) == len(owned)
    assert {one.id for one in _attempts(ledger, batch) if one.outcome == "succeeded"} == owned
    assert states(ledger, batch) == {"succeeded": len(owned)}
    with ledger.read() as tx:
        images = Counter(tx.execute(select(schema.images.c.attempt_id)).scalars())
    assert {one: images[one] for one in owned} == dict.fromkeys(owned, 1)
    assert len([path for path in (folder / "images").rglob("*") if path.is_file()]) == len(owned)


def _attempts(ledger: Ledger, batch: str) -> list[AnyRow]:
    table = schema.attempts
    with ledger.read() as tx:
        return list(tx.execute(select(table).where(table.c.batch_id == batch)).all())
