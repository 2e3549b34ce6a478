"""`imagemill metrics`: the ledger's gauges once, in Prometheus' text format. Counters are the workers' own."""

import click

from jobs.cli.opening import reading
from jobs.cli.options import ledger_options, verb


@verb("metrics", "imagemill metrics", "imagemill metrics > /var/lib/node_exporter/imagemill.prom")
@ledger_options
def metrics() -> None:
    """Print jobs by state, the oldest job's age, budgets, doubts and unpriced charges for Prometheus, for a timer
    that fills node_exporter's textfile folder. Counters come from the workers: `imagemill work --metrics-port`."""
    from jobs.ledger.gauges import read_gauges
    from jobs.report.gauges import gauges_text

    with reading() as ledger, ledger.read() as tx:
        text = gauges_text(read_gauges(tx))
    click.echo(text, nl=False)
