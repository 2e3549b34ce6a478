"""`imagemill doctor`: one line per thing a run depends on, and what to do where it is not well."""

import click

from jobs.cli.opening import read_settings
from jobs.cli.options import broker_options, calling_options, json_option, ledger_options, price_options, verb
from jobs.cli.output import say, show_json, show_table


@verb("doctor", "imagemill doctor", "imagemill doctor --json")
@click.option(
    "--worker", "only_worker", is_flag=True, help="only: does a worker of this host live? For health checks"
)
@price_options
@calling_options
@broker_options
@ledger_options
@json_option
def doctor(only_worker: bool, as_json: bool) -> int:
    """Look at Python, the data folder, the database, the broker, the endpoint's settings, prices and clocks.
    Nothing is called that costs money. Exit code 1 when something must be put right."""
    from jobs.cli.findings import examine, worker_here
    from jobs.report.table import Column, Table

    settings = read_settings()
    findings = [worker_here(settings)] if only_worker else list(examine(settings))
    bad = sum(finding.verdict == "bad" for finding in findings)
    if as_json:
        lines = [{"what": one.what, "verdict": one.verdict, "told": one.told} for one in findings]
        show_json({"ok": not bad, "findings": lines})
        return 1 if bad else 0
    styles = {"ok": "green", "look": "yellow", "bad": "red"}
    rows = [[one.verdict, one.what, one.told] for one in findings]
    show_table(Table((Column("verdict"), Column("what"), Column("told")), rows, styles=styles))
    if bad:
        say(f"{bad} to put right")
    return 1 if bad else 0
