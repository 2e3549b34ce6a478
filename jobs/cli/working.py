"""`imagemill work`: a worker process. The same as `celery -A worker.app worker`, with the right options."""

import os

import click

from jobs.cli.options import (
    broker_options,
    calling_options,
    flags,
    ledger_options,
    price_options,
    setting_option,
    storage_options,
    verb,
)

_LEVELS = click.Choice(["debug", "info", "warning", "error"])


@verb("work", "imagemill work", "imagemill work --in-flight 100 --broker-url redis://127.0.0.1:6379/0")
@setting_option("--metrics-port", "serve Prometheus metrics there; 0: any free port", type=click.IntRange(0, 65535))
@setting_option("--metrics-host", "address that they are served at")
@setting_option("--log-level", "debug, info, warning or error", type=_LEVELS)
@price_options
@calling_options
@storage_options
@broker_options
@ledger_options
def work() -> int:
    """Work on every batch of the ledger until told to stop: takes tickets from the broker, calls the endpoint,
    settles. Start as many as you like. SIGTERM or Ctrl-C finishes the calls in flight."""
    # The app reads settings from the environment, because plain `celery -A worker.app worker` starts it as well.
    os.environ.update({f"IMAGEMILL_{name.upper()}": str(value) for name, value in flags().items()})
    from worker.app import main

    return main()
