"""The Celery app of a worker process: `imagemill work`, or plainly `celery -A worker.app worker`.

Opens what the process owns when the worker starts and closes it when the worker ends. The work itself is the
executor's; Celery delivers tickets, signals and the command line.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery, bootsteps
from celery.signals import setup_logging, worker_init, worker_shutting_down

from jobs import events
from jobs.catalogue.prices import PriceBook
from jobs.errors import ImagemillError, UsageError
from jobs.ledger.durability import require_durable
from jobs.ledger.migrate import require_newest
from jobs.settings import Settings, load_settings
from worker import metrics
from worker.executor import Executor
from worker.sweep import Timer
from worker.tickets import make_app


@dataclass
class Process:
    """What one worker process owns; None until the worker starts."""

    ledger: metrics.TimedLedger
    executor: Executor
    timer: Timer
    stop_metrics: Callable[[], None]

    @classmethod
    def open(cls, settings: Settings) -> "Process":
        ledger = metrics.TimedLedger(settings.ledger_url)
        require_newest(ledger)
        require_durable(ledger)
        executor = Executor(ledger, settings, PriceBook.load(settings.prices), on_failure=_ask_to_stop)
        stop_metrics = metrics.serve(settings.metrics_host, settings.metrics_port)
        process = cls(ledger, executor, Timer(executor), stop_metrics)
        executor.start()
        process.timer.start()
        return process

    def close(self) -> None:
        """Finish the calls in flight and settle them, however long they take; the timer beats on meanwhile."""
        self.executor.close()
        self.timer.close()
        self.stop_metrics()
        self.ledger.close()


def _ask_to_stop() -> None:
    """As a supervisor would, from whatever thread."""
    os.kill(os.getpid(), signal.SIGTERM)


_process: Process | None = None
_told = ""
"""How a signal told the process to stop: Warm, Cold, or not at all."""


def _wake(_batch_id: str) -> None:
    """A ticket came in. The id is not needed: the dispatcher looks at every batch with due work."""
    if _process:
        _process.executor.wake()


def _open_app() -> Celery:
    broker_url = load_settings().broker_url
    return make_app(broker_url.get_secret_value() if broker_url else "", _wake)


app = _open_app()


def main() -> int:
    """`imagemill work`: run a worker until it is told to stop; its exit code. Raises UsageError without a broker.

    Being asked to stop, also by Ctrl-C, is a good end; being made to leave calls in flight is none, nor is a disk
    that failed.
    """
    if load_settings().broker_url is None:
        raise UsageError(
            "IMAGEMILL_BROKER_URL is not set; name a broker such as redis://127.0.0.1:6379/0, "
            "or use `imagemill run`, which needs none"
        )
    celery_worker = app.Worker(loglevel="WARNING", quiet=True)
    celery_worker.start()
    return {"Warm": 0, "Cold": 1}.get(_told, int(celery_worker.exitcode or 0))


class _ToEvents(logging.Handler):
    """Celery's warnings in our words and format: the broker is away, a message could not be read."""

    def emit(self, record: logging.LogRecord) -> None:
        first_line = record.getMessage().strip().partition("\n")[0]
        events.tell("broker_trouble", logger=record.name, message=first_line[:500])


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Connected, so that Celery leaves the root logger alone."""
    for name in ("celery", "kombu"):
        logging.getLogger(name).addHandler(_ToEvents(logging.WARNING))


@worker_init.connect
def _be_alone(sender: Any, **_: Any) -> None:
    """Workers meet in the ledger; talk between them through the broker would be load without use."""
    sender.options.update(without_gossip=True, without_mingle=True, without_heartbeat=True)


@worker_shutting_down.connect
def _stop_admitting(how: str, **_: Any) -> None:
    """In the signal handler, before Celery itself begins to stop: a second, harder signal ends the wait as well."""
    global _told  # noqa: PLW0603
    _told = how
    if _process:
        _process.executor.stop_admitting()
        if how == "Cold":
            _process.executor.hurry()


class OwnProcess(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Opens the process before Celery listens to the broker. Celery ends its steps on every way out, also on the
    cold one, of which no signal of its tells."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        global _process  # noqa: PLW0603 - one per process, like the app itself
        try:
            settings = load_settings()
            events.configure(settings.log_level)
            _process = Process.open(settings)
        except ImagemillError as error:
            sys.stderr.write(f"imagemill: {error}\n")
            raise SystemExit(error.exit_code) from error

    def stop(self, parent: Any) -> None:
        global _process, _told  # noqa: PLW0603
        if _process:
            events.tell("worker_stopping", in_flight=_process.executor.slots.in_use)
            _process.close()  # minutes, if calls take so long; a harder signal still finds the process to hurry
            if failed := _process.executor.failure:
                sys.stderr.write(f"imagemill: {failed}\n")
                parent.exitcode, _told = failed.exit_code, ""
            _process = None

    def terminate(self, parent: Any) -> None:
        if _process:
            _process.executor.hurry()
        self.stop(parent)


app.steps["worker"].add(OwnProcess)
