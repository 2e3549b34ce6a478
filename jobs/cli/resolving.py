"""`imagemill resolve`: what a person, or the provider's books, know of calls in doubt. Counts and dollars first."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.acting import who
from jobs.cli.asking import confirm
from jobs.cli.opening import open_ledger, read_settings, the_batch
from jobs.cli.options import Dollars, broker_options, json_option, ledger_options, verb, yes_option
from jobs.cli.output import say, show_json, tell
from jobs.cli.tickets import how_to_go_on, wake_workers
from jobs.errors import UsageError

if TYPE_CHECKING:
    from jobs.ledger.acts import Act
    from jobs.ledger.doubts import Doubt
    from jobs.ledger.engine import Ledger
    from jobs.ledger.resolving import Resolved
    from jobs.settings import Settings

BOOKS = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@verb(
    "resolve",
    "imagemill resolve --batch last --billed --evidence 'invoice of November, line 12'",
    "imagemill resolve --batch b_7Q2M --billed --amount 0.04 --evidence 'usage page' --dry-run",
)
@click.argument("attempts", nargs=-1, metavar="ATTEMPT...")
@click.option("--batch", help="every unknown call of this batch; with --books only this batch is compared")
@click.option("--billed", is_flag=True, help="it was paid, the answer is lost: possible becomes confirmed")
@click.option("--amount", type=Dollars(), help="what each was billed; its ceiling, the worst case, otherwise")
@click.option("--not-billed", is_flag=True, help="it was not paid: its money is freed")
@click.option("--books", type=BOOKS, metavar="FILE", help="what the provider billed, JSON lines or CSV")
@click.option("--correct", is_flag=True, help="with --books: correct charges that differ from it")
@click.option("--evidence", required=True, help="how you know: kept with the decision")
@click.option("--retry", "again", is_flag=True, help="queue the jobs again; they fail otherwise")
@click.option("--dry-run", is_flag=True, help="show the counts, change nothing")
@yes_option
@broker_options
@ledger_options
@json_option
def resolve(
    attempts: tuple[str, ...],
    batch: str | None,
    billed: bool,
    amount: int | None,
    not_billed: bool,
    books: Path | None,
    correct: bool,
    evidence: str,
    again: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Say what became of calls whose outcome nobody saw. ATTEMPT is an id or its beginning: `imagemill attempts
    BATCH --outcome unknown` lists them. A call can be freed only when no process could send it any more: at its
    deadline and one lease.

    --books compares every call with FILE and settles all doubts by it: one line for each call, with attempt_id
    (sent as X-Client-Request-Id) or request_id, and amount_usd or amount_nanodollars; billed is false where it
    cost nothing. A call that is not listed counts as not billed, so FILE must cover the batch's whole time. Charges
    that differ are named with the rule that decided them, and the exit code is 1 as long as any is left; --correct
    adds what is missing."""
    _require_one_way(attempts, batch, billed, amount, not_billed, books, correct)
    settings = read_settings()
    with open_ledger(settings) as ledger:
        batch_id = the_batch(ledger, batch) if batch else None
        act = _act(settings, batch_id, evidence, books)
        if books:
            from jobs.cli.reconciling import reconcile

            queued, code = reconcile(
                ledger, books, act, correcting=correct, again=again, dry_run=dry_run, yes=yes, as_json=as_json
            )
        else:
            doubts = _doubts(ledger, attempts, batch_id)
            amounts = {one.attempt_id: _billed_nano(one, billed, amount) for one in doubts}
            queued = _by_hand(ledger, doubts, amounts, act, again=again, dry_run=dry_run, yes=yes, as_json=as_json)
            code = 0
    for one, number in queued.items():
        wake_workers(settings, one, number)
        say(how_to_go_on(settings, one))
    return code


def _require_one_way(
    attempts: Sequence[str],
    batch: str | None,
    billed: bool,
    amount: int | None,
    not_billed: bool,
    books: Path | None,
    correct: bool,
) -> None:
    if billed + not_billed + bool(books) != 1:
        raise UsageError("say one of --billed, --not-billed and --books FILE")
    if amount is not None and not billed:
        raise UsageError("--amount goes with --billed")
    if correct and not books:
        raise UsageError("--correct goes with --books")
    if books and attempts:
        raise UsageError("--books compares whole batches: leave the attempts out")
    if not books and bool(attempts) == bool(batch):
        raise UsageError("name the attempts, or all unknown ones of a batch with --batch BATCH")


def _act(settings: "Settings", batch_id: str | None, evidence: str, books: Path | None) -> "Act":
    from jobs.ledger.acts import Act

    if not evidence.strip():
        raise UsageError("--evidence is empty: say how you know")
    return Act(who(settings), "resolve", batch_id, {"books": books.name} if books else {}, evidence.strip())


def _doubts(ledger: "Ledger", words: Sequence[str], batch_id: str | None) -> "list[Doubt]":
    """The attempts that are meant. Raises UsageError that names every word that means none, or several."""
    from jobs.ledger.doubts import match_attempts, read_doubts, unknown_of

    with ledger.read() as tx:
        if batch_id:
            ids = unknown_of(tx, batch_id)
        else:
            found = {word: match_attempts(tx, word) for word in words}
            wrong = [_unclear(word, ids) for word, ids in found.items() if len(ids) != 1]
            if wrong:
                raise UsageError("nothing was changed:\n" + "\n".join(wrong))
            ids = list(dict.fromkeys(ids[0] for ids in found.values()))
        return read_doubts(tx, ids)


def _unclear(word: str, ids: Sequence[str]) -> str:
    if ids:
        return f"{word!r} can mean {', '.join(ids)}: give more of the id"
    return f"there is no attempt {word!r}; `imagemill attempts BATCH --outcome unknown` lists those in doubt"


def _billed_nano(doubt: "Doubt", billed: bool, amount: int | None) -> int | None:
    if not billed:
        return None
    return doubt.ceiling_nano if amount is None else amount


def _by_hand(
    ledger: "Ledger",
    doubts: "list[Doubt]",
    amounts: dict[str, int | None],
    act: "Act",
    *,
    again: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> dict[str, int]:
    """Say what it does to money and jobs, ask, do it; returns {batch: jobs queued again}."""
    from jobs.ledger import resolving
    from jobs.report.doubts import resolved_json, would_resolve

    what, worst_nano = _words(doubts, amounts, again=again) if doubts else ("no call is in doubt", 0)
    _require_resolvable(ledger, doubts, amounts)
    say(what)
    done = would_resolve(doubts, amounts)
    if doubts and not dry_run:
        confirm(what, jobs=len(doubts), worst_nano=worst_nano, yes=yes)
        done = ledger.write(resolving.resolve_named, amounts, act, again=again)
    if as_json:
        show_json(resolved_json(done, dry_run=dry_run))
    else:
        tell("dry run: nothing was changed" if dry_run else _done_words(done))
    return dict(done.queued or {})


def _words(doubts: "list[Doubt]", amounts: dict[str, int | None], *, again: bool) -> tuple[str, int]:
    """What is about to happen, and the money that it is about at worst."""
    from jobs.report.words import counted, usd

    batches = ", ".join(sorted({one.batch_id for one in doubts})) or "the batch"
    waiting = sum(one.job_state == "held" for one in doubts)
    ceilings = sum(one.ceiling_nano for one in doubts)
    billed = [amount for amount in amounts.values() if amount is not None]
    jobs = f"{counted(waiting, 'held job')} {'queued again' if again else 'failed'}"
    if billed:
        worst = " (their ceilings, the worst case)" if sum(billed) == ceilings else ""
        money = f"billed, {usd(sum(billed))}{worst} becomes confirmed"
    else:
        money = f"not billed, {usd(ceilings)} possible is freed"
    more = f", at worst {usd(ceilings)} more" if again and waiting else ""
    what = f"resolve {counted(len(doubts), 'unknown call')} of {batches} as {money}; {jobs}{more}"
    return what, sum(billed) + ceilings * (again or not billed)


def _require_resolvable(ledger: "Ledger", doubts: "list[Doubt]", amounts: dict[str, int | None]) -> None:
    """Refuse before asking what would be refused after it."""
    from jobs.ledger import clock, resolving

    with ledger.read() as tx:
        now = clock.now(tx)
    told = list(resolving.complaints(doubts, now, freeing=None in amounts.values()))
    if told:
        raise UsageError(resolving.refusal(told))


def _done_words(done: "Resolved") -> str:
    from jobs.report.words import counted

    queued = sum((done.queued or {}).values())
    return f"{counted(done.attempts, 'call')} resolved; {done.jobs_failed} jobs failed, {queued} queued again"
