"""Waking workers after a commit. A ticket that cannot be published costs seconds, not work: workers poll too."""

from typing import TYPE_CHECKING

from jobs.cli.output import say

if TYPE_CHECKING:
    from jobs.settings import Settings


def wake_workers(settings: "Settings", batch_id: str, jobs: int) -> None:
    """Publish tickets for the batch, where there is a broker."""
    if settings.broker_url is None:
        return
    from worker.tickets import publish

    if not publish(settings, batch_id, jobs):
        say("the broker could not be reached; workers find the batch by themselves within seconds")


def how_to_go_on(settings: "Settings", batch_id: str) -> str:
    """What makes queued jobs run."""
    if settings.broker_url is None:
        return f"`imagemill run {batch_id}` works on it here"
    return f"the workers go on with it; `imagemill watch {batch_id}` shows it"
