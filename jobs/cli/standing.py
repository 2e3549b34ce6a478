"""`imagemill status` and `imagemill watch`: where a batch, or everything, stands."""

import click

from jobs.cli.following import follow
from jobs.cli.opening import open_ledger, read_settings, reading, the_batch
from jobs.cli.options import json_option, ledger_options, progress_option, verb
from jobs.cli.output import show_json, show_table, tell


@verb("status", "imagemill status", "imagemill status last --json")
@click.argument("batch", required=False)
@ledger_options
@json_option
def status(batch: str | None, as_json: bool) -> None:
    """Counts, money, rate, time left, and why it waits. Without BATCH: all batches, and their sums. BATCH is an
    id, the beginning of one, or `last`."""
    if batch is None:
        _all(as_json)
    else:
        _one(batch, as_json)


@verb("watch", "imagemill watch last", "imagemill watch b_7Q2M --progress plain")
@click.argument("batch")
@ledger_options
@progress_option
def watch(batch: str, progress: str) -> int:
    """Show the batch live until it ends or waits for a person. Exit code as of `run`. Ctrl-C stops watching,
    not the batch."""
    settings = read_settings()
    with open_ledger(settings) as ledger:
        return follow(ledger, settings, the_batch(ledger, batch), progress)


def _one(batch: str, as_json: bool) -> None:
    from jobs.ledger.figures import standing
    from jobs.report.standing import standing_json, standing_words

    with reading() as ledger:
        batch_id = the_batch(ledger, batch)
        with ledger.read() as tx:
            stands = standing(tx, batch_id)
    if as_json:
        show_json(standing_json(stands))
    else:
        tell(standing_words(stands))


def _all(as_json: bool) -> None:
    from jobs.ledger.overview import list_standing, whole_ledger
    from jobs.report.standing import batch_json, batches_table, standing_json, standing_words

    with reading() as ledger, ledger.read() as tx:
        stands, lines = whole_ledger(tx), list_standing(tx)
    if as_json:
        show_json(standing_json(stands) | {"batches": [batch_json(line) for line in lines]})
    else:
        tell(standing_words(stands))
        show_table(batches_table(lines))
