"""`imagemill db`: the schema brought up to date, the kept totals checked against a full count, the place."""

import click

from jobs.cli.config import shown
from jobs.cli.opening import open_ledger, read_settings
from jobs.cli.options import json_option, ledger_options, verb
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


@verb("path", "imagemill db path", "sqlite3 -readonly $(imagemill db path)")
@ledger_options
def path() -> None:
    """Print where the database is: a file, or a URL without its password. Reading it is welcome."""
    settings = read_settings()
    if settings.ledger_url.startswith("sqlite"):
        tell(settings.ledger_url.partition(":///")[2])
    else:
        tell(shown(settings.database_url) or "")


@click.group("db", commands=[upgrade, check, path], context_settings={"max_content_width": 110})
def db() -> None:
    """The database behind it all: SQLite in the data folder, or PostgreSQL."""
