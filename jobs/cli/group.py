"""The list of commands, and the click group that loads each of them only when it is used.

`imagemill --help` is answered from this list alone: it imports no command, no database, no network library.
"""

import difflib
import importlib
from dataclasses import dataclass
from typing import Any

import click

from jobs.cli.options import look_options


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, `module:name`, and what it does in one line."""

    place: str
    summary: str


COMMANDS: dict[str, dict[str, Entry]] = {
    "Make images": {
        "check": Entry("jobs.cli.checking:check", "find every problem of a manifest and its price; spends nothing"),
        "submit": Entry("jobs.cli.submitting:submit", "record a manifest as a batch and wake the workers"),
        "run": Entry("jobs.cli.running:run", "submit and work here, live, until done; again to go on"),
        "work": Entry("jobs.cli.working:work", "a worker process for batches that were submitted"),
        "serve": Entry("jobs.cli.serving:serve", "the HTTP API and the dashboard"),
    },
    "See what happens": {
        "status": Entry("jobs.cli.standing:status", "counts, money, rate, time left, why it waits"),
        "watch": Entry("jobs.cli.standing:watch", "the same, live, until the batch ends"),
        "report": Entry("jobs.cli.reporting:report", "cost and counts by day, model, batch, tag, outcome or meter"),
        "failures": Entry("jobs.cli.reporting:failures", "what failed, grouped by cause, and what to do about it"),
        "jobs": Entry("jobs.cli.rows:jobs", "the rows of a batch"),
        "attempts": Entry("jobs.cli.rows:attempts", "the calls of a batch, with outcome, usage and charge"),
        "images": Entry("jobs.cli.rows:images", "the files of a batch"),
        "acts": Entry("jobs.cli.acting:acts", "who decided what: retries, pauses, budgets, resolved doubts"),
    },
    "Decide": {
        "budget": Entry("jobs.cli.budgeting:budget", "caps on money: per day, month, tag, batch and overall"),
        "retry": Entry("jobs.cli.deciding:retry", "queue failed, held or refused jobs again"),
        "resolve": Entry("jobs.cli.resolving:resolve", "settle calls in doubt: billed or not, by hand or by books"),
        "pause": Entry("jobs.cli.deciding:pause", "admit nothing more; calls in flight end"),
        "resume": Entry("jobs.cli.deciding:resume", "go on after a pause, also of the endpoint; raise a budget"),
        "cancel": Entry("jobs.cli.deciding:cancel", "drop what is queued; calls in flight end"),
    },
    "Keep house": {
        "doctor": Entry("jobs.cli.doctor:doctor", "check this machine, the database, the endpoint's settings"),
        "token": Entry("jobs.cli.tokens:token", "who may use the API and the dashboard, and for what"),
        "metrics": Entry("jobs.cli.metrics:metrics", "gauges of the whole ledger, for Prometheus"),
        "config": Entry("jobs.cli.config:config", "every setting, its value and where it came from"),
        "db": Entry("jobs.cli.database:db", "upgrade, check or find the database"),
        "simulate": Entry("worker.simulator.__main__:command", "an endpoint to try things on; costs nothing"),
    },
}

EPILOG = """\b
Exit codes: 0 fine · 1 error · 2 usage or invalid manifest · 3 finished, some jobs not succeeded
4 stopped by budget · 5 endpoint or account trouble · 130 interrupted

Results go to stdout, remarks to stderr. Settings come from flags, then IMAGEMILL_* variables, then imagemill.toml;
`imagemill config` shows them. The API key is read from IMAGEMILL_API_KEY or the file, never from a flag."""


class LazyGroup(click.Group):
    """A group whose commands are names in a table until one is called."""

    def __init__(self, *args: Any, entries: dict[str, dict[str, Entry]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = entries
        self.entries = {name: entry for section in entries.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        return _load(entry) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.entries and not args[0].startswith("-"):
            ctx.fail(_no_such(args[0], list(self.entries)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in section.items()], col_max=12)


def _load(entry: Entry) -> click.Command:
    module, _, name = entry.place.partition(":")
    try:
        command = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        raise click.ClickException("the simulator draws with Pillow: pip install 'imagemill[simulator]'") from error
    assert isinstance(command, click.Command)
    return command


def _no_such(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean `imagemill {near[0]}`?" if near else f"known are: {', '.join(known)}"
    return f"there is no command {name!r}; {hint}"


@click.group(cls=LazyGroup, entries=COMMANDS, epilog=EPILOG, context_settings={"max_content_width": 110})
@click.version_option(package_name="imagemill", message="imagemill %(version)s")
@look_options
def imagemill() -> None:
    """A spreadsheet of prompts goes in; images come out, every cent accounted for.

    \b
      imagemill check products.csv          what would it cost, what is wrong with it
      imagemill run products.csv            make the images here, now
    """
