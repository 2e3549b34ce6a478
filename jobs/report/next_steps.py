"""What to do after a run, by how it ended: each line names a command."""

from collections.abc import Iterator

from jobs.ledger.figures import Standing
from jobs.report.standing import full_words
from jobs.report.words import counted, usd
from jobs.states import BatchState


def next_steps(before: Standing, after: Standing) -> Iterator[str]:
    """Remarks for the person who ran it. `before` is how it stood when the run began."""
    batch = after.batch
    if before.state == BatchState.DONE:
        yield f"already done, $0.00 spent: {batch} has {counted(after.total_jobs, 'job')}; --again makes them anew"
    if after.state == BatchState.CANCELLED:
        yield f"{batch} was cancelled"
    if after.state == BatchState.PAUSED:
        yield _paused(after)
    elif after.at_budget:
        yield str(after.waiting_for)
    elif after.waiting_for and after.waiting_for.startswith("endpoint paused"):
        yield f"{after.waiting_for.rstrip('.')}: imagemill resume {batch}"
    elif after.jobs["queued"]:
        yield f"{counted(after.jobs['queued'], 'job')} left; go on: imagemill run {batch}"
    yield from _unlucky(after)


def _paused(after: Standing) -> str:
    if after.at_budget:
        return full_words(after)
    return f"{after.waiting_for}; go on: imagemill resume {after.batch}"


def _unlucky(after: Standing) -> Iterator[str]:
    jobs, batch = after.jobs, after.batch
    if jobs["failed"] or jobs["refused"]:
        yield f"{jobs['failed']} failed, {jobs['refused']} refused: imagemill failures {batch}"
    if jobs["failed"]:
        yield f"send the failed ones again: imagemill retry {batch} --failed"
    if jobs["held"]:
        yield (
            f"{jobs['held']} held, maybe paid already ({usd(after.possible_nano)} possible in the batch); to "
            f"settle them by the provider's books: imagemill resolve --batch {batch} --books FILE; "
            f"to send them again all the same: imagemill retry {batch} --held"
        )
