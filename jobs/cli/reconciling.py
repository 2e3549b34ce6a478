"""`imagemill resolve --books`: the whole comparison first, then what it settles, a portion at a time.

Both passes stream: a ledger of a million calls is compared in the memory of one page.
"""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.cli.asking import confirm
from jobs.cli.output import say, show_json, show_lines, tell
from jobs.ledger.acts import Act
from jobs.ledger.bill import Bill
from jobs.ledger.engine import Ledger
from jobs.ledger.reconcile import PAGE, Compared, Finding, comparisons, settle_portion
from jobs.report.words import counted, usd

DIFFERENCES_LEFT = 1
_ACTS_ON = (Finding.BILLED, Finding.NOT_BILLED, Finding.DIFFERS)


@dataclass
class _Sums:
    """What was found or done, by finding: calls, and the nano-dollars of it."""

    calls: Counter[Finding] = field(default_factory=Counter)
    nano: Counter[Finding] = field(default_factory=Counter)
    matched: int = 0
    matched_nano: int = 0

    def add(self, one: Compared) -> None:
        self.calls[one.finding] += 1
        self.nano[one.finding] += _weight(one)
        self.matched += one.billed_nano is not None
        self.matched_nano += one.billed_nano or 0


def reconcile(
    ledger: Ledger,
    books: Path,
    act: Act,
    *,
    correcting: bool,
    again: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> tuple[dict[str, int], int]:
    """Compare, say it, ask, settle. Returns ({batch: jobs queued again}, exit code)."""
    with Bill().read(books) as bill:
        sums = _compared(ledger, bill, act.batch_id, as_json=as_json)
        what = _words(sums, books, correcting=correcting)
        say(what)
        _say_strangers(sums, bill, act.batch_id)
        chosen = (Finding.BILLED, Finding.NOT_BILLED, *((Finding.DIFFERS,) if correcting else ()))
        acting = sum(sums.calls[one] for one in chosen)
        queued, done = Counter[str](), Counter[str]()
        if acting and not dry_run:
            confirm(what, jobs=acting, worst_nano=sum(sums.nano[one] for one in chosen), yes=yes)
            queued, done = _settle(ledger, bill, act, again=again, correcting=correcting)
    left = sums.calls[Finding.DIFFERS] - done["corrected"]
    _show(sums, done, left, dry_run=dry_run, as_json=as_json)
    return dict(queued), DIFFERENCES_LEFT if left else 0


def _compared(ledger: Ledger, bill: Bill, batch_id: str | None, *, as_json: bool) -> _Sums:
    """The first pass: sums, and every difference on stdout."""
    sums = _Sums()
    for one in comparisons(ledger, bill, batch_id):
        sums.add(one)
        if one.finding is Finding.DIFFERS and as_json:
            show_lines([_difference_json(one)])
        elif one.finding is Finding.DIFFERS:
            tell(_difference(one))
    return sums


def _settle(
    ledger: Ledger, bill: Bill, act: Act, *, again: bool, correcting: bool
) -> tuple[Counter[str], Counter[str]]:
    """The second pass; returns {batch: jobs queued again}, and what was done."""
    queued, done = Counter[str](), Counter[str]()
    chosen = (one for one in comparisons(ledger, bill, act.batch_id) if one.finding in _ACTS_ON)
    while portion := list(itertools.islice(chosen, PAGE)):
        resolved, corrected = ledger.write(settle_portion, portion, act, again=again, correcting=correcting)
        queued.update(resolved.queued or {})
        done.update(
            resolved=resolved.attempts,
            jobs_failed=resolved.jobs_failed,
            corrected=len(corrected),
            added_nano=sum(corrected.values()),
        )
    return queued, done


def _words(sums: _Sums, books: Path, *, correcting: bool) -> str:
    calls, nano = sums.calls, sums.nano
    billed, freed = (counted(calls[one], "doubt") for one in (Finding.BILLED, Finding.NOT_BILLED))
    parts = [
        f"{calls[Finding.AGREES]:,} calls agree",
        f"{billed} billed ({usd(nano[Finding.BILLED])})",
        f"{freed} not billed ({usd(nano[Finding.NOT_BILLED])} possible is freed)",
    ]
    if differs := calls[Finding.DIFFERS]:
        told = "to be corrected" if correcting else "that --correct would correct"
        parts.append(f"{counted(differs, 'charge')} {told} ({usd(nano[Finding.DIFFERS])})")
    for finding, words in _LEFT_OPEN.items():
        if calls[finding]:
            parts.append(f"{calls[finding]:,} {words}")
    return f"by {books.name}: " + " · ".join(parts)


_LEFT_OPEN = {
    Finding.TOO_EARLY: "not billed so far, but still within deadline and lease",
    Finding.CANNOT_TELL: "not listed in books that name no attempt",
    Finding.IN_FLIGHT: "in flight",
}


def _say_strangers(sums: _Sums, bill: Bill, batch_id: str | None) -> None:
    """Calls that the ledger has never heard of: other users of the key, or calls that were never written down."""
    if batch_id is None and bill.billed_nano != sums.matched_nano:
        strange = usd(bill.billed_nano - sums.matched_nano)
        say(f"the books also bill {strange} for calls that are not in this ledger")


def _difference(one: Compared) -> str:
    charged = "unpriced" if one.charged_nano is None and one.possible_nano else usd(one.charged_nano or 0)
    billed = "not listed" if one.billed_nano is None else f"billed {usd(one.billed_nano)}"
    return f"{one.attempt_id} of {one.batch_id}: charged {charged}, {billed}; {one.decided_by}"


def _difference_json(one: Compared) -> dict[str, Any]:
    return {
        "attempt": one.attempt_id,
        "batch": one.batch_id,
        "charged_nanodollars": one.charged_nano,
        "possible_nanodollars": one.possible_nano,
        "billed_nanodollars": one.billed_nano,
        "decided_by": one.decided_by,
    }


def _show(sums: _Sums, done: Counter[str], left: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        facts = {finding.value: sums.calls[finding] for finding in Finding}
        counts = {name: done[name] for name in ("resolved", "corrected", "jobs_failed")}
        added = {"added_nanodollars": done["added_nano"], "differences_left": left, "dry_run": dry_run}
        show_json(facts | counts | added)
        return
    if dry_run:
        tell("dry run: nothing was changed")
    else:
        tell(f"{counted(done['resolved'], 'doubt')} resolved, {counted(done['corrected'], 'charge')} corrected")
    if left:
        say(f"{counted(left, 'charge')} still differ from the books")


def _weight(one: Compared) -> int:
    """The money that a call is about: billed, freed, or the size of a difference."""
    if one.finding is Finding.BILLED:
        return one.billed_nano or 0
    if one.finding is Finding.DIFFERS:
        return abs((one.billed_nano or 0) - (one.charged_nano or 0))
    return one.possible_nano
