"""The usual way, for comparison: one Celery task a row, as the guides for safety say. The kill run strikes it too.

Late acknowledgement, rejection when a worker is lost, prefetch 1, an append-only Redis, a visibility timeout far
above the longest call, retries with backoff and jitter, a row in PostgreSQL that is marked before and after the
call, and a task that leaves alone what is done. No straw man: nothing is left out that such a queue could do.
"""

import base64
import os
from pathlib import Path
from typing import Any

import httpx
import psycopg
from celery import Celery

TASK = "plain.generate"
VISIBILITY_S = 30
"""Three times the longest call, and above the longest countdown of a retry."""
MOST_RETRIES = 10
CALL_MAY_TAKE_S = 9.0
REQUEST = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low"}
TEXT_NANO, IMAGE_NANO = 5_000, 40_000
"""A token of that model, in nano-dollars."""
TABLE = """
CREATE TABLE rows (
    id bigint PRIMARY KEY,
    prompt text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    paid_calls integer NOT NULL DEFAULT 0,
    cost_nano bigint NOT NULL DEFAULT 0
)
"""
BEGIN = "UPDATE rows SET state = 'running' WHERE id = %s AND state IN ('queued', 'running') RETURNING prompt"
DONE = "UPDATE rows SET state = 'done', paid_calls = paid_calls + 1, cost_nano = cost_nano + %s WHERE id = %s"
FAILED = "UPDATE rows SET state = 'failed' WHERE id = %s"


class Trouble(Exception):
    """An answer that is worth another try."""


def make_app(broker_url: str) -> Celery:
    app = Celery("plain", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=False,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": VISIBILITY_S, "socket_timeout": 15},
    )
    _add_task(app)
    return app


def _add_task(app: Celery) -> None:
    @app.task(
        name=TASK,
        bind=True,
        autoretry_for=(Trouble, httpx.TransportError, psycopg.OperationalError),
        max_retries=MOST_RETRIES,
        retry_backoff=True,
        retry_backoff_max=8,
        retry_jitter=True,
    )
    def generate(task: Any, row: int) -> None:
        with psycopg.connect(os.environ["IMAGEMILL_DATABASE_URL"], autocommit=True, connect_timeout=5) as ledger:
            begun = ledger.execute(BEGIN, [row]).fetchone()
            if begun is None:
                return  # done by an earlier delivery of the same message
            answer = call(begun[0], f"{row}-{task.request.retries}")
            if answer.status_code == 200:
                ledger.execute(DONE, [keep(row, answer.json()), row])
            elif answer.status_code in (400, 413, 422) or task.request.retries >= MOST_RETRIES:
                ledger.execute(FAILED, [row])
            else:
                raise Trouble(answer.status_code)


def call(prompt: str, name: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {os.environ['IMAGEMILL_API_KEY']}", "X-Client-Request-Id": name}
    url = f"{os.environ['IMAGEMILL_ENDPOINT_URL']}/images/generations"
    return httpx.post(url, json=REQUEST | {"prompt": prompt}, headers=headers, timeout=CALL_MAY_TAKE_S)


def keep(row: int, answer: dict[str, Any]) -> int:
    """Store the image; what the call cost."""
    folder = Path(os.environ["IMAGEMILL_STORAGE_URL"])
    folder.mkdir(exist_ok=True)
    (folder / f"{row}.png").write_bytes(base64.b64decode(answer["data"][0]["b64_json"]))
    usage = answer["usage"]
    return int(usage["input_tokens"] * TEXT_NANO + usage["output_tokens"] * IMAGE_NANO)


def main(_arguments: object = None) -> None:
    """A worker process."""
    app = make_app(os.environ["IMAGEMILL_BROKER_URL"])
    app.worker_main(["worker", "--pool", "threads", "--concurrency", "8", "--loglevel", "WARNING"])
