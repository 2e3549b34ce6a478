"""Watching a batch until it ends, and the exit code that its end means."""

import sys
import time
from typing import TYPE_CHECKING, TextIO

from jobs.cli.output import look
from jobs.states import BatchState

if TYPE_CHECKING:
    from jobs.ledger.engine import Ledger
    from jobs.ledger.figures import Standing
    from jobs.report.progress import Progress
    from jobs.report.table import Look
    from jobs.settings import Settings

NOT_ALL_SUCCEEDED = 3
STOPPED_BY_BUDGET = 4
ENDPOINT_TROUBLE = 5
_LOOK_EVERY_S = 0.5
_SETTLED = (BatchState.DONE, BatchState.CANCELLED, BatchState.PAUSED)
"""Without calls in flight, these do not go on by themselves."""


def exit_code(standing: "Standing") -> int:
    """0 all succeeded · 3 not all · 4 stopped by budget · 5 endpoint or account trouble."""
    if standing.at_budget:
        return STOPPED_BY_BUDGET
    if (standing.waiting_for or "").startswith("endpoint paused"):
        return ENDPOINT_TROUBLE
    return 0 if standing.jobs["succeeded"] == standing.total_jobs else NOT_ALL_SUCCEEDED


def view(ledger: "Ledger", batch_id: str, mode: str) -> "Progress":
    """The view that --progress chose, on stderr; auto is the panel on a terminal and plain lines elsewhere."""
    from jobs.report.progress import JsonView, PlainView, SilentView

    sink, seen = sys.stderr, look("stderr")
    if mode == "panel" or (mode == "auto" and seen.terminal):
        return _panel(ledger, batch_id, sink, seen)
    if mode == "json":
        return JsonView(sink, time.monotonic)
    return SilentView(sink) if mode == "none" else PlainView(sink, time.monotonic)


def _panel(ledger: "Ledger", batch_id: str, sink: TextIO, seen: "Look") -> "Progress":
    from jobs.ledger.overview import Glimpse, glimpse
    from jobs.report.live import PanelView

    def peek() -> Glimpse:
        with ledger.read() as tx:
            return glimpse(tx, batch_id)

    return PanelView(sink, seen, peek, time.monotonic)


def follow(ledger: "Ledger", settings: "Settings", batch_id: str, mode: str) -> int:
    """Show the batch until it ends or waits for a person; returns the exit code."""
    from jobs.ledger.figures import standing
    from jobs.ledger.waiting import stopped_by_budget, stopped_by_endpoint

    with view(ledger, batch_id, mode) as shown:
        while True:
            with ledger.read() as tx:
                stands = standing(tx, batch_id, settings.endpoint_url)
                endpoint = stopped_by_endpoint(tx, batch_id, settings.endpoint_url)
                stopped = endpoint or stopped_by_budget(tx, batch_id)
            shown.show(stands)
            if not stands.jobs["running"] and (stopped or stands.state in _SETTLED):
                return exit_code(stands)
            time.sleep(_LOOK_EVERY_S)
