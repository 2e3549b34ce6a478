"""Questions before something is spent or dropped: asked of a person at a terminal, never of a script."""

import sys

import click

from jobs.cli.output import say
from jobs.errors import UsageError

_MANY_JOBS = 100
_MUCH_NANO = 10**9


def confirm(what: str, *, jobs: int, worst_nano: int, yes: bool) -> None:
    """Go on, or raise. `what` says what would happen. Small things (at most 100 jobs, at most $1) are not asked.

    Raises UsageError where nobody can answer and --yes was not given, click.Abort on a no.
    """
    small = jobs <= _MANY_JOBS and worst_nano <= _MUCH_NANO
    if yes or small:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{what}: nobody is here to confirm it; add --yes to go on")
    if not click.confirm(f"{what}. Go on?", err=True):
        say("nothing was changed")
        raise click.exceptions.Exit(0)
