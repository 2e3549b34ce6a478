"""What a run comes to: the few figures that the table prints, from ledger and journal. No product code."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.books import Row, Snapshot
from tests.torture.supply import Lot

FINAL = ("succeeded", "failed", "refused", "held", "cancelled")
PAID = ("succeeded", "image_lost")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of one run, as the table shows them. Money in nano-dollars."""

    jobs: int
    rows_lost: int
    calls: int
    calls_not_written: int
    extra_paid_calls: int
    doubts: int
    billed: int
    confirmed: int
    billed_in_doubt: int
    """What the endpoint billed of the calls that the ledger counts as possible: unknown ones, and unpriced ones."""

    @property
    def difference(self) -> int:
        """To the endpoint's books, once each doubt is decided by them."""
        return self.billed - self.confirmed - self.billed_in_doubt


def judge(ledger: Snapshot, journal: Sequence[dict[str, Any]], lots: Sequence[Lot]) -> Verdict:
    calls = {line["attempt_id"]: line["amount_nanodollars"] for line in journal if line["kind"] == "call"}
    written = {attempt["id"] for attempt in ledger.attempts}
    doubts = [attempt["id"] for attempt in ledger.attempts if attempt["possible_nano"]]
    return Verdict(
        jobs=sum(batch["jobs"] for batch in ledger.batches if batch["state"] != "loading"),
        rows_lost=rows_lost(ledger, lots),
        calls=sum(line["kind"] == "call" for line in journal),
        calls_not_written=len(calls.keys() - written),
        extra_paid_calls=sum(1 for _ in extra_paid(ledger, calls, lots)),
        doubts=len(doubts),
        billed=sum(line["amount_nanodollars"] for line in journal if line["kind"] == "call"),
        confirmed=sum(attempt["charged_nano"] or 0 for attempt in ledger.attempts),
        billed_in_doubt=sum(calls.get(one, 0) for one in doubts),
    )


def differences(ledger: Snapshot, journal: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The attempts without doubt that were billed otherwise than the ledger says."""
    billed = {line["attempt_id"]: line for line in journal if line["kind"] == "call"}
    for attempt in ledger.attempts:
        line = billed.get(attempt["id"], {"amount_nanodollars": 0, "fault": None})
        amount, charged = line["amount_nanodollars"], attempt["charged_nano"] or 0
        if not attempt["possible_nano"] and amount != charged:
            told = f"{attempt['outcome']}, {attempt['error_kind']}, {attempt['error_message']}"
            yield f"attempt {attempt['id']} ({told}): billed {amount} ({line['fault']}), charged {charged}"


def rows_lost(ledger: Snapshot, lots: Sequence[Lot]) -> int:
    """Rows of accepted manifests that are in no final or held state."""
    ended: dict[str, int] = defaultdict(int)
    for job in ledger.jobs:
        ended[job["batch_id"]] += job["state"] in FINAL
    return sum(lot.rows - ended[lot.batch] for lot in lots if lot.batch)


def submissions(ledger: Snapshot, lots: Sequence[Lot]) -> Iterator[str]:
    """A manifest is one batch, however often it was handed in, and whatever was killed meanwhile."""
    for lot in lots:
        yield from lot.problems
        batches = [
            one["id"] for one in ledger.batches if one["name"] == lot.path.stem and one["state"] != "loading"
        ]
        if batches != [lot.batch]:
            yield f"{lot.path.name} is the batches {batches}, not just {lot.batch}"


def extra_paid(ledger: Snapshot, billed: dict[str, int], lots: Sequence[Lot]) -> Iterator[str]:
    """Attempts that were billed although an earlier billed call of their job allowed no further one: silent
    double payments. A call is followed by another only after an ending that nobody paid for, after a doubt that
    the batch or a person allows to repeat, or when a person had the job sent again."""
    terms = {lot.batch: lot for lot in lots}
    workers = {worker["id"]: worker for worker in ledger.workers}
    by_job: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for attempt in ledger.attempts:
        if billed.get(attempt["id"]):
            by_job[attempt["batch_id"], attempt["row"]].append(attempt)
    for (batch, _), attempts in by_job.items():
        lot = terms.get(batch)
        retries, allowed = (lot.retries, (lot.retry_unknown + 1) * (lot.retries + 1)) if lot else (0, 1)
        attempts.sort(key=lambda attempt: int(attempt["number"]))
        yield from (str(attempt["id"]) for attempt in attempts[allowed:])
        for earlier, later in pairwise(attempts[:allowed]):
            if not _allows(earlier, later, workers[earlier["worker_id"]], retries):
                yield str(later["id"])


def _allows(earlier: Row, later: Row, worker: Row, retries: int) -> bool:
    admitted = later["admitted_at"]
    if (
        worker["ended_at"] is not None
        and worker["ended_at"] <= admitted
        and earlier["ended_at"] > worker["ended_at"]
    ):
        return True  # in doubt when the later one was admitted; its answer came after its worker was given up
    if earlier["ended_at"] > admitted:
        return False
    return earlier["outcome"] == "unknown" or (earlier["outcome"] == "image_lost" and retries > 0)
