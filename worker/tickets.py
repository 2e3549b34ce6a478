"""Tickets: the Celery messages that wake workers. They carry a batch id and no authority.

A ticket that is lost, doubled, late or forged costs at most one useless look at the ledger, since admission decides
and every worker looks by itself every few seconds. So: early acknowledgement, no prefetch, no results, no retry,
no ETA, no remote control, JSON only.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES

from jobs.errors import UsageError
from jobs.events import tell
from jobs.settings import Settings

TASK = "imagemill.ticket"
QUEUE = "imagemill"
MOST_TICKETS = 16
_SOCKET_TIMEOUT_S = 15
_PUBLISH_STEP_S = 3
"""Somebody waits while tickets are published: a broker that does not answer a step so long is given up."""
# Far above the life of a ticket, which ends at once: a broker must never hand one out again as lost.
_VISIBILITY_TIMEOUT_S = 3600


def make_app(broker_url: str, on_ticket: Callable[[str], None] = lambda batch_id: None) -> Celery:
    """A Celery app whose one task calls `on_ticket(batch_id)`. Raises UsageError for what is no broker's URL."""
    if broker_url and not all(map(_is_broker, broker_url.split(";"))):  # several: one stands in for the other
        raise UsageError("IMAGEMILL_BROKER_URL is no broker's URL; an example: redis://127.0.0.1:6379/0")
    app = Celery("imagemill", broker=broker_url, set_as_current=False)
    app.conf.update(_conf(broker_url))

    @app.task(name=TASK, ignore_result=True)
    def ticket(batch_id: str) -> None:
        on_ticket(str(batch_id))

    return app


def publish(settings: Settings, batch_id: str, jobs: int) -> bool:
    """Wake as many workers as the jobs are worth. Bounded in time; False, with a log line, when the broker is away:
    workers then find the batch by themselves."""
    if settings.broker_url is None:
        return False
    app = make_app(settings.broker_url.get_secret_value())
    count = min(MOST_TICKETS, -(-jobs // settings.share))
    try:
        with _connection(app) as connection, app.amqp.Producer(connection) as producer:
            for _ in range(count):
                app.send_task(TASK, args=[batch_id], producer=producer, retry=False)
    except (OperationalError, OSError, TimeoutError) as error:
        tell("ticket_not_published", batch=batch_id, error=type(error).__name__)
        return False
    tell("tickets_published", batch=batch_id, tickets=count)
    return True


def broker_answers(settings: Settings) -> bool:
    """Whether a connection to the broker can be made now."""
    assert settings.broker_url is not None
    try:
        with _connection(make_app(settings.broker_url.get_secret_value())) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except (OperationalError, OSError, TimeoutError):
        return False
    return True


def _connection(app: Celery) -> Any:
    """For publishing: in case of trouble one more try at once (or at the next of several hosts), and no waiting."""
    steps = {"read_timeout": _PUBLISH_STEP_S, "write_timeout": _PUBLISH_STEP_S}
    if not app.conf.broker_url.startswith("amqp"):
        steps = {"socket_timeout": _PUBLISH_STEP_S, "socket_connect_timeout": _PUBLISH_STEP_S}
    options = {**steps, "max_retries": 1, "interval_start": 0}
    return app.connection_for_write(connect_timeout=_PUBLISH_STEP_S, transport_options=options)


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme.partition("+")[0] in TRANSPORT_ALIASES and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        return False


def _conf(broker_url: str) -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_publish_retry": False,
        "worker_pool": "threads",
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        # Celery 5.7.0 ends when a Redis connection drops while it holds a message it has not acknowledged.
        "worker_disable_prefetch": broker_url.startswith(("redis", "rediss", "sentinel")),
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(broker_url),
    }


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("amqp"):
        return {"read_timeout": _SOCKET_TIMEOUT_S, "write_timeout": _SOCKET_TIMEOUT_S}
    return {
        "socket_timeout": _SOCKET_TIMEOUT_S,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "visibility_timeout": _VISIBILITY_TIMEOUT_S,
    }
