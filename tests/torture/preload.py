"""What the fork server loads once, so that no child has to: everything but worker.app, which reads its settings
when it is imported."""

import importlib
import pkgutil
from types import ModuleType

import celery.apps.worker
import celery.concurrency.thread
import celery.fixups.django
import celery.worker.consumer
import httpx_aiohttp
import kombu.transport.redis
import psycopg
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite

import jobs
import tests.crash.stops
import tests.faults.launch
import worker.embedded
import worker.sweep
import worker.tickets

_LIBRARIES = (
    celery.apps.worker,
    celery.concurrency.thread,
    celery.fixups.django,
    celery.worker.consumer,
    httpx_aiohttp,
    kombu.transport.redis,
    psycopg,
    sqlalchemy.dialects.postgresql.psycopg,
    sqlalchemy.dialects.sqlite.pysqlite,
    tests.crash.stops,
    tests.faults.launch,
    worker.embedded,
    worker.sweep,
    worker.tickets,
)


def _load_all(package: ModuleType) -> None:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


_load_all(jobs)
