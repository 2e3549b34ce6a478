"""`imagemill retry`, `pause`, `resume`, `cancel`: what a person decides about a batch. Counts are shown first."""

from typing import TYPE_CHECKING

import click

from jobs.cli.acting import who
from jobs.cli.asking import confirm
from jobs.cli.opening import open_ledger, read_settings, the_batch
from jobs.cli.options import Dollars, broker_options, json_option, ledger_options, verb, yes_option
from jobs.cli.output import say, show_json, tell
from jobs.cli.tickets import how_to_go_on, wake_workers
from jobs.errors import UsageError
from jobs.states import JobState

if TYPE_CHECKING:
    from jobs.ledger.engine import Ledger
    from jobs.ledger.figures import Standing


@verb("retry", "imagemill retry last --failed", "imagemill retry b_7Q2M --held --yes")
@click.argument("batch")
@click.option("--failed", is_flag=True, help="jobs that failed")
@click.option("--held", is_flag=True, help="jobs whose call may have been paid for: sends them again")
@click.option("--refused", is_flag=True, help="jobs that the safety system refused")
@click.option("--dry-run", is_flag=True, help="show the counts, change nothing")
@yes_option
@broker_options
@ledger_options
@json_option
def retry(batch: str, failed: bool, held: bool, refused: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Queue exactly these jobs again, with fresh limits of attempts and time. Says how many and what they may
    cost at worst; asks above 100 jobs or $1, and refuses without a terminal unless --yes is given."""
    chosen = {JobState.FAILED: failed, JobState.HELD: held, JobState.REFUSED: refused}
    states = [state for state, wanted in chosen.items() if wanted]
    settings = read_settings()
    with open_ledger(settings) as ledger:
        batch_id = the_batch(ledger, batch)
        if not states:
            raise UsageError(_choices(ledger, batch_id))
        moved = _retry(ledger, batch_id, states, who(settings), dry_run=dry_run, yes=yes)
    if as_json:
        show_json({"batch": batch_id, "jobs": moved, "dry_run": dry_run})
    else:
        tell(f"{moved} of {batch_id} queued again" if not dry_run else "dry run: nothing was changed")
    if moved and not dry_run:
        wake_workers(settings, batch_id, moved)
        say(how_to_go_on(settings, batch_id))


@verb("pause", "imagemill pause last", "imagemill pause b_7Q2M --reason 'prompts under review'")
@click.argument("batch")
@click.option("--reason", default="operator", show_default=True, help="shown wherever the batch is")
@ledger_options
@json_option
def pause(batch: str, reason: str, as_json: bool) -> None:
    """Admit nothing more of the batch; calls in flight end and are kept."""
    from jobs import decide

    settings = read_settings()
    with open_ledger(settings) as ledger:
        batch_id = the_batch(ledger, batch)
        moved = decide.pause(ledger, who(settings), batch_id, reason)
        stands = _standing(ledger, batch_id)
    words = (
        f"{batch_id} is paused; go on: imagemill resume {batch_id}" if moved else f"{batch_id} is {stands.state}"
    )
    _answer(as_json, {"batch": batch_id, "moved": moved, "state": stands.state}, words)


@verb("resume", "imagemill resume b_7Q2M --budget 80", "imagemill resume")
@click.argument("batch", required=False)
@click.option("--budget", type=Dollars(), help="the batch's new budget")
@broker_options
@ledger_options
@json_option
def resume(batch: str | None, budget: int | None, as_json: bool) -> None:
    """Go on: with a batch that was paused, and in any case with an endpoint that account trouble had stopped.
    --budget sets the batch's wall anew."""
    from jobs import decide
    from jobs.report.words import counted

    if budget is not None and batch is None:
        raise UsageError("--budget needs a BATCH: imagemill resume BATCH --budget USD")
    settings = read_settings()
    with open_ledger(settings) as ledger:
        batch_id = the_batch(ledger, batch) if batch else None
        lifted = decide.resume_all_endpoints(ledger, who(settings))
        for one in lifted:
            model = f" for {one.model}" if one.model else ""
            say(f"endpoint{model} goes on after: {one.kind}: {one.message}")
        if batch_id is None:
            _answer(
                as_json, {"endpoint_pauses_lifted": len(lifted)}, f"{counted(len(lifted), 'endpoint pause')} lifted"
            )
            return
        moved = decide.resume(ledger, who(settings), batch_id, budget)
        stands = _standing(ledger, batch_id)
    facts = {"batch": batch_id, "moved": moved, "state": stands.state, "endpoint_pauses_lifted": len(lifted)}
    _answer(as_json, facts, f"{batch_id} is {stands.state}")
    if stands.jobs["queued"] and stands.state == "open":
        wake_workers(settings, batch_id, stands.jobs["queued"])
        say(how_to_go_on(settings, batch_id))


@verb("cancel", "imagemill cancel b_7Q2M --dry-run", "imagemill cancel last --yes")
@click.argument("batch")
@click.option("--dry-run", is_flag=True, help="show the counts, change nothing")
@yes_option
@ledger_options
@json_option
def cancel(batch: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Drop what is queued. Calls in flight end, and their images and costs are kept."""
    from jobs import decide

    settings = read_settings()
    with open_ledger(settings) as ledger:
        batch_id = the_batch(ledger, batch)
        stands = _standing(ledger, batch_id)
        queued, running = stands.jobs["queued"], stands.jobs["running"]
        what = f"cancel {queued} queued jobs of {batch_id}; {running} in flight end by themselves"
        if dry_run:
            say(what)
        else:
            confirm(what, jobs=queued, worst_nano=0, yes=yes)
        moved = 0 if dry_run else decide.cancel(ledger, who(settings), batch_id)
        state = _standing(ledger, batch_id).state
    _answer(
        as_json,
        {"batch": batch_id, "jobs": moved, "state": state},
        f"{batch_id} is {state}, {moved} jobs cancelled",
    )


def _retry(
    ledger: "Ledger", batch_id: str, states: list[JobState], operator: str, *, dry_run: bool, yes: bool
) -> int:
    """Say what it may cost, ask, move; returns the number of jobs queued (or that would be)."""
    from jobs import decide
    from jobs.report.words import counted, usd

    chosen = decide.Chosen(states)
    number, worst_nano = decide.worst_case(ledger, batch_id, chosen)
    words = ", ".join(state.value for state in states)
    what = f"send {counted(number, 'job')} ({words}) of {batch_id} again, at worst {usd(worst_nano)}"
    if JobState.HELD in states:
        what += " more; held ones may have been paid for already"
    say(what)
    if dry_run or not number:
        return number
    confirm(what, jobs=number, worst_nano=worst_nano, yes=yes)
    return decide.retry(ledger, operator, batch_id, chosen, worst_nano)


def _choices(ledger: "Ledger", batch_id: str) -> str:
    jobs = _standing(ledger, batch_id).jobs
    offers = " · ".join(f"--{state} ({jobs[state]})" for state in ("failed", "held", "refused"))
    return f"say which jobs of {batch_id} to send again: {offers}; held ones may have been paid for already"


def _standing(ledger: "Ledger", batch_id: str) -> "Standing":
    from jobs.ledger.figures import standing

    with ledger.read() as tx:
        return standing(tx, batch_id)


def _answer(as_json: bool, facts: dict[str, object], words: str) -> None:
    if as_json:
        show_json(facts)
    else:
        tell(words)
