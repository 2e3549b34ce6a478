"""`imagemill db`: the schema brought up to date, the kept totals checked against a full count, the place."""

import click

from jobs.cli.acting import who
from jobs.cli.asking import confirm
from jobs.cli.config import shown
from jobs.cli.opening import open_ledger, read_settings
from jobs.cli.options import json_option, ledger_options, verb, yes_option
from jobs.cli.output import say, show_json, tell


@verb("upgrade", "imagemill db upgrade", "imagemill db upgrade --data-dir last-year")
@ledger_options
def upgrade() -> None:
    """Make or update the tables. A SQLite file does this by itself; a server only here."""
    from jobs.ledger import migrate
    from jobs.ledger.engine import Ledger

    ledger = Ledger(read_settings().ledger_url)
    try:
        before, after = migrate.upgrade(ledger)
    finally:
        ledger.close()
    tell(f"already at version {after}" if before == after else f"upgraded from {before or 'nothing'} to {after}")


@verb("check", "imagemill db check", "imagemill db check --json")
@ledger_options
@json_option
def check(as_json: bool) -> int:
    """Count everything anew, slowly, and compare: budgets and tallies must agree with jobs, attempts and charges.
    Exit code 1 when they do not."""
    from jobs.ledger.recount import differences

    with open_ledger(read_settings()) as ledger, ledger.read() as tx:
        found = differences(tx)
    if as_json:
        show_json({"ok": not found, "differences": found})
    elif found:
        for line in found:
            tell(line)
        say(f"{len(found)} kept totals differ from a full count: please report this")
    else:
        tell("every kept total equals a full count")
    return 1 if found else 0


@verb("restored", "imagemill db restored", "imagemill db restored --yes")
@yes_option
@ledger_options
@json_option
def restored(yes: bool, as_json: bool) -> None:
    """After a backup was restored: hold every queued job, since it may have run after the backup was made, and let
    workers go on. Nothing is sent again by itself; `imagemill retry BATCH --held` sends what you choose."""
    from jobs.ledger.restored import hold_queued, queued_batches
    from jobs.report.words import counted

    settings = read_settings()
    with open_ledger(settings) as ledger:
        with ledger.read() as tx:
            found = queued_batches(tx)
        for batch in found:
            say(f"{batch.batch_id} ({batch.name}): {counted(batch.jobs, 'queued job')}")
        number = sum(batch.jobs for batch in found)
        what = f"hold {counted(number, 'queued job')}; workers then go on with what is submitted or retried"
        confirm(what, jobs=number, worst_nano=0, yes=yes)
        held = ledger.write(hold_queued, who(settings))
    if as_json:
        show_json({"held": held, "batches": [batch.batch_id for batch in found]})
    else:
        tell(f"{counted(held, 'job')} held; send again what did not run: imagemill retry BATCH --held")


@verb("path", "imagemill db path", "sqlite3 -readonly $(imagemill db path)")
@ledger_options
def path() -> None:
    """Print where the database is: a file, or a URL without its password. Reading it is welcome."""
    settings = read_settings()
    if settings.ledger_url.startswith("sqlite"):
        tell(settings.ledger_url.partition(":///")[2])
    else:
        tell(shown(settings.database_url) or "")


@click.group("db", commands=[upgrade, check, restored, path], context_settings={"max_content_width": 110})
def db() -> None:
    """The database behind it all: SQLite in the data folder, or PostgreSQL."""
