"""The independent checker: ledger, the endpoint's journal, spool and image store must tell one story.

It reads with its own SQL, read-only, and imports nothing of imagemill, so that anybody can hold a run against it:

    python -m tests.checker --ledger URL --journal FILE --images DIR [--spool DIR] [--running]

`check` returns one sentence for each thing that is wrong, the broken invariant in front:

    I1  every row ends final or held            I6   files and image rows one to one, nothing left in the spool
    I2  every call written down, none invented  I8   who was swept admits nothing
    I3  no call paid again without leave        I9   attempts within their limit
    I4  money as the endpoint billed it         I11  one batch for one submission
    I5  budgets kept, their sums exact          I12  kept totals are the sums of their parts
"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.books import Books, Row, Snapshot

Line = dict[str, Any]
"""A line of the journal: a call, with what it was billed."""

ANSWERED = ("succeeded", "image_lost", "refused", "rejected", "throttled")
"""Outcomes that only an answer of the endpoint can give."""
ENDS_JOB = ("succeeded", "refused", "image_lost")
"""Outcomes after which only a person sends the job again."""
LIMITED = ("succeeded", "refused", "errored", "unknown", "image_lost", "billed_lost", "not_billed")
"""Outcomes that use up an attempt, whatever else they mean."""
FINAL = ("succeeded", "failed", "refused", "held", "cancelled")
SPOOL_OWN = ("lock", "sent")
"""What a live worker's spool folder always holds."""


def check(
    ledger: Snapshot, journal: Sequence[Line], images: Path, *, spool: Path | None = None, at_rest: bool = True
) -> list[str]:
    """Everything that is wrong; empty: all agree. Calls may be in flight only where `at_rest` is False."""
    calls = [line for line in journal if line["kind"] == "call"]
    found = [
        *_calls(ledger, calls),
        *_repeats(ledger, calls),
        *_bills(ledger, calls),
        *_budgets(ledger),
        *_results(ledger),
        *_limits(ledger),
        *_workers(ledger),
        *_batches(ledger),
        *_totals(ledger),
        *_files(ledger, calls, images),
    ]
    return [*found, *_rest(ledger, spool)] if at_rest else found


def _calls(ledger: Snapshot, calls: Sequence[Line]) -> Iterator[str]:
    written = {attempt["id"]: attempt for attempt in ledger.attempts}
    made = Counter(line["attempt_id"] for line in calls)
    yield from (f"I2: call {one} was never written down" for one in made.keys() - written.keys())
    yield from (f"I2: attempt {one} was called {times} times" for one, times in made.items() if times > 1)
    for line in calls:
        attempt = written.get(line["attempt_id"])
        known = attempt and attempt["request_id"]
        if known and known != line["request_id"]:
            yield f"I2: attempt {line['attempt_id']} has request id {known}, the journal {line['request_id']}"
    for attempt in ledger.attempts:
        if attempt["outcome"] in ANSWERED and not made[attempt["id"]]:
            yield f"I2: attempt {attempt['id']} is {attempt['outcome']}, but no call was made"
        if attempt["outcome"] == "not_sent" and made[attempt["id"]]:
            yield f"I2: attempt {attempt['id']} was called although it is not_sent"


def _repeats(ledger: Snapshot, calls: Sequence[Line]) -> Iterator[str]:
    """A job is paid once, and once more only where its batch or a person allowed it."""
    billed = {line["attempt_id"] for line in calls if line["amount_nanodollars"]}
    leave = {batch["id"]: batch["retry_unknown"] for batch in ledger.batches}
    sent_again = Counter(act["batch_id"] for act in ledger.acts if act["verb"] in ("retry", "resolve"))
    for (batch, row), attempts in _by_job(ledger).items():
        paid = sum(attempt["id"] in billed for attempt in attempts)
        allowed = (1 + leave[batch]) * (1 + sent_again[batch])  # who sends a held job again renews its leave
        if paid > allowed:
            yield f"I3: job {batch} {row} was billed {paid} times, {allowed} are allowed"
        for before, after in pairwise(attempts):
            ended = before["ended_at"] is not None and before["ended_at"] <= after["admitted_at"]
            if before["outcome"] is None or (ended and before["outcome"] in ENDS_JOB and not sent_again[batch]):
                yield f"I3: attempt {after['id']} followed {before['id']}, which is {before['outcome']}"


def _bills(ledger: Snapshot, calls: Sequence[Line]) -> Iterator[str]:
    """Attempt by attempt what the endpoint billed."""
    billed = {line["attempt_id"]: line["amount_nanodollars"] for line in calls}
    for attempt in ledger.attempts:
        amount, charged = billed.get(attempt["id"], 0), attempt["charged_nano"] or 0
        least, most = charged, charged + attempt["possible_nano"]
        if attempt["outcome"] is None:
            most = attempt["ceiling_nano"]
        if not least <= amount <= most:
            yield f"I4: attempt {attempt['id']} ({attempt['outcome']}): billed {amount}, ledger {least} to {most}"


def _budgets(ledger: Snapshot) -> Iterator[str]:
    """Each budget holds exactly the money of the attempts it covers, and no more than its cap."""
    tags = {row["id"]: json.loads(row["tags"]) for row in ledger.tag_sets}
    tagged = {(job["batch_id"], job["row"]): tags.get(job["tag_set"], {}) for job in ledger.jobs}
    for budget in ledger.budgets:
        covered = [one for one in ledger.attempts if _covers(budget, one, tagged[one["batch_id"], one["row"]])]
        counted = {
            "confirmed": sum(one["charged_nano"] or 0 for one in covered),
            "possible": sum(one["possible_nano"] for one in covered),
            "reserved": sum(one["ceiling_nano"] for one in covered if one["outcome"] is None),
        }
        name = f"budget {budget['scope']} {budget['key']}".rstrip()
        for kind, amount in counted.items():
            if budget[f"{kind}_nano"] != amount:
                yield f"I5: {name}: {kind}: kept {budget[f'{kind}_nano']}, counted {amount}"
        if budget["cap_nano"] is not None and sum(counted.values()) > budget["cap_nano"]:
            yield f"I5: {name}: {sum(counted.values())} of {budget['cap_nano']} used"


def _covers(budget: Row, attempt: Row, tags: dict[str, str]) -> bool:
    day = datetime.fromtimestamp(attempt["admitted_at"] / 1000, UTC).date().isoformat()
    match budget["scope"]:
        case "overall":
            return True
        case "month":
            return bool(day[:7] == budget["key"])
        case "day":
            return bool(day == budget["key"])
        case "tag":
            return budget["key"] in {f"{name}={value}" for name, value in tags.items()}
    return bool(attempt["batch_id"] == budget["key"])


def _results(ledger: Snapshot) -> Iterator[str]:
    """One result for each job, and a state that its attempts explain."""
    by_job = _by_job(ledger)
    for job in ledger.jobs:
        outcomes = [attempt["outcome"] for attempt in by_job[job["batch_id"], job["row"]]]
        name = f"I1: job {job['batch_id']} {job['row']} ({job['state']})"
        if len(outcomes) != job["attempts"]:
            yield f"{name} counts {job['attempts']} attempts, there are {len(outcomes)}"
        if (job["state"] == "succeeded") != ("succeeded" in outcomes):
            yield f"{name} has the outcomes {outcomes}"
        if job["state"] == "held" and "unknown" not in outcomes:
            yield f"{name} is held without a doubt: {outcomes}"
        if (job["state"] == "running") != (None in outcomes):
            yield f"{name} has the open attempts {outcomes}"


def _limits(ledger: Snapshot) -> Iterator[str]:
    most = {batch["id"]: batch["max_attempts"] for batch in ledger.batches}
    sent_again = Counter(act["batch_id"] for act in ledger.acts if act["verb"] in ("retry", "resolve"))
    for (batch, row), attempts in _by_job(ledger).items():
        used = sum(attempt["outcome"] in LIMITED for attempt in attempts)
        if used > most[batch] * (1 + sent_again[batch]):
            yield f"I9: job {batch} {row} used {used} attempts, {most[batch]} are allowed"


def _workers(ledger: Snapshot) -> Iterator[str]:
    ended = {worker["id"]: worker["ended_at"] for worker in ledger.workers}
    for attempt in ledger.attempts:
        if attempt["worker_id"] not in ended:
            yield f"I8: attempt {attempt['id']} was admitted by nobody that is known"
        elif (end := ended[attempt["worker_id"]]) is not None and attempt["admitted_at"] > end:
            yield f"I8: attempt {attempt['id']} was admitted after the end of {attempt['worker_id']}"


def _batches(ledger: Snapshot) -> Iterator[str]:
    opened = [batch for batch in ledger.batches if batch["state"] != "loading"]
    rows = Counter(job["batch_id"] for job in ledger.jobs)
    for batch in opened:
        if rows[batch["id"]] != batch["jobs"]:
            yield f"I1: batch {batch['id']} was opened with {batch['jobs']} jobs and has {rows[batch['id']]}"
    same = Counter((batch["fingerprint"], batch["edition"]) for batch in opened)
    yield from (f"I11: {times} batches of one submission" for times in same.values() if times > 1)


def _totals(ledger: Snapshot) -> Iterator[str]:
    """The kept totals against a count of their parts."""
    opened = {batch["id"] for batch in ledger.batches if batch["state"] != "loading"}
    yield from _differ(
        "jobs",
        _sums((job["batch_id"], job["state"], 1) for job in ledger.jobs if job["batch_id"] in opened),
        _sums((row["batch_id"], row["state"], row["jobs"]) for row in ledger.job_tallies),
    )
    for name, column in (("charged", "charged_nano"), ("possible", "possible_nano")):
        yield from _differ(
            name,
            _sums((one["batch_id"], one["outcome"], one[column] or 0) for one in ledger.attempts),
            _sums((row["batch_id"], row["outcome"], row[column]) for row in ledger.attempt_tallies),
        )
    batch_of = {one["id"]: one["batch_id"] for one in ledger.attempts}
    charged = ((batch_of[one["attempt_id"]], one["meter"], one["amount_nano"] or 0) for one in ledger.charges)
    yield from _differ(
        "charges",
        _sums(charged),
        _sums((row["batch_id"], row["meter"], row["amount_nano"]) for row in ledger.charge_tallies),
    )
    charges = sum(charge["amount_nano"] or 0 for charge in ledger.charges)
    confirmed = sum(attempt["charged_nano"] or 0 for attempt in ledger.attempts)
    if charges != confirmed:
        yield f"I12: charges come to {charges}, attempts to {confirmed}"


def _sums(parts: Iterable[tuple[str, str | None, int]]) -> dict[tuple[str, str | None], int]:
    """What comes to 0 is left out: an empty tally row and none at all say the same."""
    sums: Counter[tuple[str, str | None]] = Counter()
    for batch, kind, amount in parts:
        sums[batch, kind] += amount
    return {key: amount for key, amount in sums.items() if amount}


def _differ(
    name: str, counted: dict[tuple[str, str | None], int], kept: dict[tuple[str, str | None], int]
) -> Iterator[str]:
    for key in sorted(counted.keys() | kept.keys(), key=str):
        if counted.get(key, 0) != kept.get(key, 0):
            yield f"I12: {name} of {key}: kept {kept.get(key, 0)}, counted {counted.get(key, 0)}"


def _files(ledger: Snapshot, calls: Sequence[Line], images: Path) -> Iterator[str]:
    """Rows and files one to one, with the bytes that the endpoint sent."""
    sent = {line["attempt_id"]: [image["sha256"] for image in line["images"]] for line in calls}
    on_disk = {str(path.relative_to(images)): path for path in images.rglob("*") if path.is_file()}
    for image in ledger.images:
        path = on_disk.pop(image["path"], None)
        if path is None:
            yield f"I6: image {image['path']} has a row and no file"
            continue
        digest = sha256(path.read_bytes()).hexdigest()
        if digest != image["sha256"] or path.stat().st_size != image["bytes"]:
            yield f"I6: image {image['path']} is not what its row says"
        if digest not in sent.get(image["attempt_id"], []):
            yield f"I6: image {image['path']} is not what the endpoint sent"
    yield from (f"I6: file {name} has no row" for name in on_disk)
    have = Counter(image["attempt_id"] for image in ledger.images)
    for attempt in ledger.attempts:
        wanted = len(sent.get(attempt["id"], []))
        if attempt["outcome"] == "succeeded" and have[attempt["id"]] != wanted:
            yield f"I6: attempt {attempt['id']} succeeded with {have[attempt['id']]} of {wanted} images"


def _rest(ledger: Snapshot, spool: Path | None) -> Iterator[str]:
    """Nothing is under way any more. What a killed submission had staged is no job yet."""
    staged = {batch["id"] for batch in ledger.batches if batch["state"] == "loading"}
    yield from (
        f"I1: job {job['batch_id']} {job['row']} is still {job['state']}"
        for job in ledger.jobs
        if job["state"] not in FINAL and job["batch_id"] not in staged
    )
    yield from (f"I1: attempt {one['id']} is still open" for one in ledger.attempts if one["outcome"] is None)
    for path in spool.rglob("*") if spool else ():
        if path.is_file() and path.name not in SPOOL_OWN:
            yield f"I6: {path.relative_to(spool or path)} is left in the spool"


def _by_job(ledger: Snapshot) -> dict[tuple[str, int], list[Row]]:
    """The attempts of each job, in their order."""
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for attempt in sorted(ledger.attempts, key=lambda one: int(one["number"])):
        found[attempt["batch_id"], attempt["row"]].append(attempt)
    return found


def main() -> int:
    """Check a run from the command line; exit code 1 when something is wrong."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", required=True, help="sqlite:///FILE or postgresql://...")
    parser.add_argument("--journal", required=True, type=Path, help="the simulator's, JSON lines")
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--spool", type=Path)
    parser.add_argument("--running", action="store_true", help="calls may be in flight")
    chosen = parser.parse_args()
    lines = [json.loads(line) for line in chosen.journal.read_bytes().splitlines()]
    ledger = Books(chosen.ledger).snapshot()
    found = check(ledger, lines, chosen.images, spool=chosen.spool, at_rest=not chosen.running)
    sys.stdout.write("".join(f"{sentence}\n" for sentence in found))
    sys.stdout.write(f"{len(ledger.jobs)} jobs, {len(ledger.attempts)} attempts: {len(found)} violations\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
