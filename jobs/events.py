"""What imagemill says in its logs: every event once, with its level. Logic tells events, this file words them.

Never a prompt, a key or image bytes among the fields; the endpoint client scrubs what providers said.
"""

import logging
import sys
from typing import Any

import structlog

_LEVELS = {
    "worker_started": "info",
    "worker_stopping": "info",
    "worker_stopped": "info",
    "worker_fenced": "warning",
    "heartbeat_failed": "warning",
    "admission_failed": "warning",
    "attempts_never_sent": "warning",
    "settlement_failed": "warning",
    "answer_not_kept": "error",
    "answer_not_booked": "error",
    "resolution_overruled": "error",
    "answer_not_released": "warning",
    "sweep_closed": "warning",
    "sweep_failed": "warning",
    "spool_replayed": "info",
    "spool_not_replayed": "error",
    "endpoint_paused": "error",
    "batch_paused": "warning",
    "batch_done": "info",
    "worker_broke_off": "error",
    "disk_full": "error",
    "disk_has_room": "warning",
    "disk_failed": "error",
    "throttled": "warning",
    "ticket_not_published": "warning",
    "tickets_published": "debug",
    "broker_trouble": "warning",
    "metrics_served": "info",
    "request_failed": "error",
}


def tell(event: str, **fields: Any) -> None:
    """Log one event of the table above."""
    getattr(structlog.get_logger(), _LEVELS[event])(event, **fields)


def configure(level: str) -> None:
    """Log to stderr: coloured lines on a terminal, one JSON object a line elsewhere."""
    terminal = sys.stderr.isatty()
    # Native strings as Python writes them: structlog escapes control characters only beside blanks.
    on_terminal = structlog.dev.ConsoleRenderer(repr_native_str=True)
    renderer = on_terminal if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


configure("warning")  # until the program says otherwise: structlog's own default writes to stdout
