"""What people build without imagemill, each run by bench_peers.py in processes of its own.

    celery -A benchmarks.peers worker    one Celery task a row: a PostgreSQL row updated before and after the call,
                                         made with the openai SDK or with httpx, and the picture in a file
    python -m benchmarks.peers fill      the rows and their messages, before the workers start
    python -m benchmarks.peers litellm   an asyncio script over LiteLLM that keeps no record but the pictures

No straw men: connections and clients are kept, messages are small, results are ignored, logging is off, and the
Redis transport has a connection for every greenlet. Settings are environment variables that begin with PEER_.
"""

import base64
import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx
    from celery import Celery
    from openai import OpenAI
    from sqlalchemy import Engine

TASK = "peer.generate"
REQUEST = {"model": "gpt-image-1", "size": "1024x1024", "quality": "low"}
PACKAGES = {"sdk": "openai", "httpx": "httpx"}
CALL_MAY_TAKE_S = 120
MOST_REDIS_CONNECTIONS = 2_000
MOST_LEDGER_CONNECTIONS = 20
TABLE = """
CREATE TABLE rows (
    id bigint PRIMARY KEY,
    prompt text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    path text,
    tokens bigint,
    started_at timestamptz,
    ended_at timestamptz
)
"""
FILL = (
    "INSERT INTO rows (id, prompt) SELECT n, 'studio photo of a cup, number ' || n FROM generate_series(1, %s) AS n"
)
BEGIN = "UPDATE rows SET state = 'running', started_at = now() WHERE id = %(row)s RETURNING prompt"
DONE = "UPDATE rows SET state = 'done', ended_at = now(), path = %(path)s, tokens = %(tokens)s WHERE id = %(row)s"
COUNT_DONE = "SELECT count(*) FROM rows WHERE state = 'done'"


def setting(name: str) -> str:
    return os.environ[f"PEER_{name.upper()}"]


@cache
def make_app() -> "Celery":
    from celery import Celery

    for package in (PACKAGES[setting("client")], "sqlalchemy", "psycopg"):
        importlib.import_module(package)  # once, before the pool forks: its processes share the memory

    app = Celery("peers", broker=setting("broker_url"), set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"max_connections": MOST_REDIS_CONNECTIONS},
        broker_pool_limit=None,
    )

    @app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery ships no types
    def generate(row: int) -> None:
        with engine().begin() as ledger:
            prompt = ledger.exec_driver_sql(BEGIN, {"row": row}).scalar_one()
        image, tokens = _call()(prompt)
        path = _keep(row, image)
        with engine().begin() as ledger:
            ledger.exec_driver_sql(DONE, {"row": row, "path": path, "tokens": tokens})

    return app


@cache
def engine() -> "Engine":
    """The process's own, made after any fork."""
    from sqlalchemy import create_engine

    url = setting("database_url").replace("postgresql://", "postgresql+psycopg://")
    return create_engine(url, pool_size=MOST_LEDGER_CONNECTIONS, max_overflow=0, pool_timeout=600)


@cache
def _call() -> Callable[[str], tuple[str, int]]:
    return {"sdk": by_sdk, "httpx": by_httpx}[setting("client")]


def by_sdk(prompt: str) -> tuple[str, int]:
    answer = _sdk_client().images.generate(prompt=prompt, **REQUEST)  # type: ignore[call-overload]
    return answer.data[0].b64_json, answer.usage.total_tokens


def by_httpx(prompt: str) -> tuple[str, int]:
    answer = _http_client().post("/images/generations", json=REQUEST | {"prompt": prompt})
    answer.raise_for_status()
    body = answer.json()
    return body["data"][0]["b64_json"], body["usage"]["total_tokens"]


@cache
def _sdk_client() -> "OpenAI":
    from openai import OpenAI

    return OpenAI(base_url=setting("endpoint_url"), api_key="bench", max_retries=0, timeout=CALL_MAY_TAKE_S)


@cache
def _http_client() -> "httpx.Client":
    import httpx

    no_limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Authorization": "Bearer bench"}
    return httpx.Client(
        base_url=setting("endpoint_url"), headers=headers, timeout=CALL_MAY_TAKE_S, limits=no_limits
    )


def _keep(row: int, image: str) -> str:
    path = Path(setting("folder")) / f"{row}.png"
    path.write_bytes(base64.b64decode(image))
    return str(path)


def fill() -> None:
    """The rows, then one message each."""
    import psycopg

    jobs = int(setting("jobs"))
    with psycopg.connect(setting("database_url"), autocommit=True) as ledger:
        ledger.execute(TABLE)
        ledger.execute(FILL, [jobs])
    sender = make_app()
    with (
        sender.connection_for_write() as connection,
        sender.amqp.Producer(connection) as producer,
        producer.batch(),
    ):
        for row in range(1, jobs + 1):
            sender.send_task(TASK, args=[row], producer=producer)


def script_litellm() -> None:
    """As many calls at a time as PEER_IN_FLIGHT says."""
    import asyncio
    import itertools

    import litellm  # type: ignore[import-not-found]  # in a scratch environment only

    litellm.telemetry = False
    rows = itertools.count(1)

    async def caller() -> None:
        while (row := next(rows)) <= int(setting("jobs")):
            answer = await litellm.aimage_generation(
                model=f"openai/{REQUEST['model']}",
                prompt=f"studio photo of a cup, number {row}",
                size=REQUEST["size"],
                quality=REQUEST["quality"],
                api_base=setting("endpoint_url"),
                api_key="bench",
                max_retries=0,
                timeout=CALL_MAY_TAKE_S,
            )
            _keep(row, answer.data[0].b64_json)

    async def callers() -> None:
        await asyncio.gather(*(caller() for _ in range(int(setting("in_flight")))))

    asyncio.run(callers())


def __getattr__(name: str) -> Any:
    """Celery's command line asks the module for its `app`; a script that needs none makes none."""
    if name == "app":
        return make_app()
    raise AttributeError(name)


if __name__ == "__main__":
    {"fill": fill, "litellm": script_litellm}[sys.argv[1]]()
