"""What is wrong once a case is over: the checker's findings, the product's own recount, and the table's fate."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

from tests.acceptance.mill import recounted
from tests.books import Snapshot
from tests.checker import check
from tests.crash.boundaries import Fate, Fates
from tests.crash.pairs import Site
from tests.crash.play import MANIFEST

_JOB_OF = {"succeeded": "succeeded", "rejected": "failed", "unknown": "held"}


def judge(site: Site, fates: Fates) -> list[str]:
    """One sentence for each thing that is wrong."""
    ledger = _without_loading(site.books.snapshot())
    calls = calls_of(site)
    found = check(ledger, calls, site.data / "images", spool=site.spool)
    found += recounted(site.ledger_url)
    if len(ledger.batches) != 1:
        found.append(f"I11: {len(ledger.batches)} batches were opened")
    return [*found, *_fate(ledger, len(calls), fates), *_litter(site)]


def calls_of(site: Site) -> list[dict[str, Any]]:
    """The journal's calls for this site's prompts."""
    rows = (json.loads(line) for line in (site.home / MANIFEST).read_text().splitlines())
    ours = {sha256(row["prompt"].encode()).hexdigest() for row in rows}
    return [line for line in site.simulator.calls() if line["prompt_sha256"] in ours]


def _without_loading(ledger: Snapshot) -> Snapshot:
    """What a killed submission had staged is nothing yet: no attempt may name it, dispatch ignores it."""
    opened = [batch for batch in ledger.batches if batch["state"] != "loading"]
    ids = {batch["id"] for batch in opened}
    return replace(ledger, batches=opened, jobs=[job for job in ledger.jobs if job["batch_id"] in ids])


def _fate(ledger: Snapshot, calls: int, fates: Fates) -> Iterator[str]:
    outcomes = dict(Counter(str(attempt["outcome"]) for attempt in ledger.attempts))
    if not any(_is(fate, outcomes, calls) for fate in fates):
        wanted = " or ".join(f"{fate.outcomes} with {fate.calls[0]} to {fate.calls[1]} calls" for fate in fates)
        yield f"attempts {outcomes} with {calls} calls, not {wanted}"
    for job in ledger.jobs:
        last = max((one for one in ledger.attempts if one["row"] == job["row"]), key=lambda one: int(one["number"]))
        if job["state"] != _JOB_OF.get(last["outcome"]):
            yield f"job {job['custom_id']} is {job['state']} after {last['outcome']}"


def _is(fate: Fate, outcomes: dict[str, int], calls: int) -> bool:
    return outcomes == fate.outcomes and fate.calls[0] <= calls <= fate.calls[1]


def _litter(site: Site) -> Iterator[str]:
    """No temporary file anywhere, no folder of a dead process; but for the one that the next beat writes over."""
    yield from (f"I6: {path.name} is left in the spool" for path in site.spool.glob("*"))
    left = (path for path in site.data.rglob("*.tmp") if path.name != "admitted.json.tmp")
    yield from (f"I6: {path} is left" for path in left)
