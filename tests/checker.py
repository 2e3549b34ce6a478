"""The independent checker: ledger, the simulator's journal and the files on disk must tell one story.

It reads with its own SQL and imports nothing of imagemill. `check` returns one sentence for each thing that is
wrong; a test asserts that there is none. Calls may be in flight only where `at_rest` is False.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.books import Row, Snapshot

Line = dict[str, Any]
"""A line of the journal: a call, with what it was billed."""

ANSWERED = ("succeeded", "image_lost", "refused", "rejected", "throttled")
"""Outcomes that only an answer of the endpoint can give."""
PAID = ("succeeded", "image_lost")
FINAL = ("succeeded", "failed", "refused", "held", "cancelled")


def check(ledger: Snapshot, journal: Sequence[Line], images: Path, *, at_rest: bool = True) -> list[str]:
    """Everything that is wrong; empty: all agree."""
    calls = [line for line in journal if line["kind"] == "call"]
    found = [*_calls(ledger, calls), *_money(ledger, calls), *_results(ledger), *_files(ledger, calls, images)]
    return [*found, *_rest(ledger)] if at_rest else found


def _calls(ledger: Snapshot, calls: Sequence[Line]) -> Iterator[str]:
    """No call that was not written down, none invented, none made twice."""
    written = {attempt["id"]: attempt for attempt in ledger.attempts}
    made = Counter(line["attempt_id"] for line in calls)
    yield from (f"call {one} was never written down" for one in made.keys() - written.keys())
    yield from (f"attempt {one} was called {times} times" for one, times in made.items() if times > 1)
    for line in calls:
        attempt = written.get(line["attempt_id"])
        known = attempt and attempt["request_id"]
        if known and known != line["request_id"]:
            yield f"attempt {line['attempt_id']} has request id {known}, the journal {line['request_id']}"
    for attempt in ledger.attempts:
        if attempt["outcome"] in ANSWERED and not made[attempt["id"]]:
            yield f"attempt {attempt['id']} is {attempt['outcome']}, but no call was made"
        if attempt["outcome"] == "not_sent" and made[attempt["id"]]:
            yield f"attempt {attempt['id']} was called although it is not_sent"


def _money(ledger: Snapshot, calls: Sequence[Line]) -> Iterator[str]:
    """Attempt by attempt what the endpoint billed, and every kept sum equal to its parts."""
    billed = {line["attempt_id"]: line["amount_nanodollars"] for line in calls}
    for attempt in ledger.attempts:
        amount, charged = billed.get(attempt["id"], 0), attempt["charged_nano"] or 0
        least, most = charged, charged + attempt["possible_nano"]
        if attempt["outcome"] is None:
            most = attempt["ceiling_nano"]
        if not least <= amount <= most:
            yield f"attempt {attempt['id']} ({attempt['outcome']}): billed {amount}, ledger {least} to {most}"
    charges = sum(charge["amount_nano"] or 0 for charge in ledger.charges)
    confirmed = sum(attempt["charged_nano"] or 0 for attempt in ledger.attempts)
    possible = sum(attempt["possible_nano"] for attempt in ledger.attempts)
    reserved = sum(attempt["ceiling_nano"] for attempt in ledger.attempts if attempt["outcome"] is None)
    if charges != confirmed:
        yield f"charges come to {charges}, attempts to {confirmed}"
    for name, counted in (("confirmed", confirmed), ("possible", possible), ("reserved", reserved)):
        kept = sum(budget[f"{name}_nano"] for budget in ledger.budgets)
        if kept != counted:
            yield f"{name}: kept {kept}, counted {counted}"
    for budget in ledger.budgets:
        used = budget["confirmed_nano"] + budget["possible_nano"] + budget["reserved_nano"]
        if budget["cap_nano"] is not None and used > budget["cap_nano"]:
            yield f"budget {budget['key']}: {used} of {budget['cap_nano']} used"


def _results(ledger: Snapshot) -> Iterator[str]:
    """One result for each job, and a state that its attempts explain."""
    by_job: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for attempt in ledger.attempts:
        by_job[attempt["batch_id"], attempt["row"]].append(attempt)
    for job in ledger.jobs:
        outcomes = [attempt["outcome"] for attempt in by_job[job["batch_id"], job["row"]]]
        name = f"job {job['batch_id']} {job['row']} ({job['state']})"
        if len(outcomes) != job["attempts"]:
            yield f"{name} counts {job['attempts']} attempts, there are {len(outcomes)}"
        if (job["state"] == "succeeded") != ("succeeded" in outcomes):
            yield f"{name} has the outcomes {outcomes}"
        if job["state"] == "held" and "unknown" not in outcomes:
            yield f"{name} is held without a doubt: {outcomes}"
        if (job["state"] == "running") != (None in outcomes):
            yield f"{name} has the open attempts {outcomes}"


def _files(ledger: Snapshot, calls: Sequence[Line], images: Path) -> Iterator[str]:
    """Rows and files one to one, with the bytes that the endpoint sent."""
    sent = {line["attempt_id"]: [image["sha256"] for image in line["images"]] for line in calls}
    on_disk = {str(path.relative_to(images)): path for path in images.rglob("*") if path.is_file()}
    for image in ledger.images:
        path = on_disk.pop(image["path"], None)
        if path is None:
            yield f"image {image['path']} has a row and no file"
            continue
        digest = sha256(path.read_bytes()).hexdigest()
        if digest != image["sha256"] or path.stat().st_size != image["bytes"]:
            yield f"image {image['path']} is not what its row says"
        if digest not in sent.get(image["attempt_id"], []):
            yield f"image {image['path']} is not what the endpoint sent"
    yield from (f"file {name} has no row" for name in on_disk)
    have = Counter(image["attempt_id"] for image in ledger.images)
    for attempt in ledger.attempts:
        wanted = len(sent.get(attempt["id"], []))
        if attempt["outcome"] == "succeeded" and have[attempt["id"]] != wanted:
            yield f"attempt {attempt['id']} succeeded with {have[attempt['id']]} of {wanted} images"


def _rest(ledger: Snapshot) -> Iterator[str]:
    """Nothing is under way any more."""
    yield from (
        f"job {job['batch_id']} {job['row']} is still {job['state']}"
        for job in ledger.jobs
        if job["state"] not in FINAL
    )
    yield from (f"attempt {one['id']} is still open" for one in ledger.attempts if one["outcome"] is None)
