"""Imports run one way, and every library has one home, so that each can be replaced in one place."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FILES = sorted(
    str(path.relative_to(CHECKOUT))
    for folder in ("jobs", "worker", "migrations")
    for path in (CHECKOUT / folder).rglob("*.py")
)

HOMES = {
    "sqlalchemy": ("jobs/ledger/", "migrations/"),
    "psycopg": ("jobs/ledger/", "migrations/"),
    "alembic": ("jobs/ledger/migrate.py", "migrations/"),
    "prometheus_client": ("worker/metrics.py", "jobs/report/gauges.py"),
    "celery": ("worker/app.py", "worker/tickets.py"),
    "kombu": ("worker/app.py", "worker/tickets.py"),
    "httpx": ("worker/endpoint.py", "worker/wire.py", "worker/download.py"),
    "httpx_aiohttp": ("worker/endpoint.py", "worker/download.py"),
    "aiohttp": (
        "worker/endpoint.py",
        "worker/wire.py",
        "worker/download.py",
        "worker/line.py",
        "worker/simulator/",
    ),
    "fastapi": ("jobs/api/",),
    "starlette": ("jobs/api/",),
    "uvicorn": ("jobs/cli/serving.py",),
    "jinja2": ("jobs/api/dashboard/",),
    "jobs.api": ("jobs/api/", "jobs/cli/serving.py"),
    "PIL": ("worker/simulator/", "jobs/report/thumbnails.py"),
    "click": ("jobs/cli/", "worker/simulator/__main__.py"),
    "worker.simulator": ("jobs/cli/", "worker/simulator/"),
    "worker": ("jobs/cli/", "worker/"),
    "jobs.cli": ("jobs/cli/",),
}
"""What may be imported where; a home that ends in a slash is a folder."""

STRANGERS = {
    "worker/simulator/": ("jobs", "worker", "migrations"),
    "jobs/states.py": ("jobs",),
    "jobs/errors.py": ("jobs",),
    "jobs/money/": ("jobs.ledger", "jobs.manifest"),
    "jobs/catalogue/": ("jobs.ledger", "jobs.manifest"),
    "jobs/manifest/": ("jobs.ledger",),
}
"""What a place must not import, itself excepted: the simulator is written from the endpoint's contract alone, and
the lower modules stand without the upper ones."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name in full, such as `jobs.ledger.schema.jobs`."""

    name: str
    line: int
    in_function: bool

    def is_of(self, package: str) -> bool:
        return self.name == package or self.name.startswith(f"{package}.")


def imports_of(source: str) -> list[Import]:
    return list(_walk(ast.parse(source), in_function=False))


def _walk(node: ast.AST, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, in_function) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            start = "." * child.level + (child.module or "")
            yield from (Import(f"{start}.{alias.name}", child.lineno, in_function) for alias in child.names)
        else:
            yield from _walk(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def violations(path: str, source: str) -> list[str]:
    """Each as `path:line: sentence`."""
    found = []
    for item in imports_of(source):
        found += [f"{path}:{item.line}: {complaint}" for complaint in _complaints(path, item)]
    return found


def _complaints(path: str, item: Import) -> Iterator[str]:
    if item.name.startswith("."):
        yield f"{item.name} is relative; imports name the whole module"
    for package, homes in HOMES.items():
        if item.is_of(package) and not _within(path, homes):
            yield f"{package} is imported only in {', '.join(homes)}"
    for place, packages in STRANGERS.items():
        own = place.rstrip("/").replace("/", ".")
        if _within(path, (place,)) and any(map(item.is_of, packages)) and not item.is_of(own):
            yield f"{place} does not import {item.name}"
    if _within(path, ("jobs/cli/",)) and item.is_of("worker") and not item.in_function:
        yield "a command imports worker inside its function, so that the rest stands without it"


def _within(path: str, homes: tuple[str, ...]) -> bool:
    return any(path == home or (home.endswith("/") and path.startswith(home)) for home in homes)


@pytest.mark.parametrize("path", FILES)
def test_a_file_imports_only_what_it_may(path: str) -> None:
    assert violations(path, (CHECKOUT / path).read_text(encoding="utf-8")) == []


def test_the_files_of_the_project_are_found() -> None:
    assert {"jobs/states.py", "worker/calls.py", "worker/simulator/__init__.py"} <= set(FILES)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("jobs/submit.py", "import worker.tickets", "worker is imported only in"),
        ("jobs/submit.py", "def late():\n    from worker import tickets", "worker is imported only in"),
        ("jobs/cli/run.py", "from worker.executor import Executor", "inside its function"),
        ("jobs/submit.py", "from sqlalchemy import select", "sqlalchemy is imported only in"),
        ("jobs/report/table.py", "import psycopg.errors", "psycopg is imported only in"),
        ("jobs/ledger/engine.py", "import alembic.command", "alembic is imported only in"),
        ("worker/executor.py", "from celery.app.task import Task", "celery is imported only in"),
        ("worker/executor.py", "import httpx", "httpx is imported only in"),
        ("worker/simulator/server.py", "import httpx_aiohttp", "httpx_aiohttp is imported only in"),
        ("worker/executor.py", "import aiohttp", "aiohttp is imported only in"),
        ("worker/images.py", "from PIL import Image", "PIL is imported only in"),
        ("worker/executor.py", "import prometheus_client", "prometheus_client is imported only in"),
        ("jobs/submit.py", "from fastapi import Request", "fastapi is imported only in"),
        ("jobs/report/table.py", "from jobs.api import problems", "jobs.api is imported only in"),
        ("worker/tickets.py", "import click", "click is imported only in"),
        ("worker/executor.py", "import worker.simulator.server", "worker.simulator is imported only in"),
        ("worker/simulator/server.py", "import jobs.money", "does not import jobs.money"),
        ("worker/simulator/server.py", "from worker import calls", "does not import worker.calls"),
        ("jobs/manifest/read.py", "from jobs.ledger import intake", "does not import jobs.ledger.intake"),
        ("jobs/submit.py", "from jobs.cli import main", "jobs.cli is imported only in"),
        ("jobs/submit.py", "from .ledger import intake", "is relative"),
        ("jobs/submit.py", "if 1:\n    try:\n        import celery\n    finally: pass", "celery"),
    ],
)
def test_a_forbidden_import_is_named(path: str, source: str, complaint: str) -> None:
    assert [line for line in violations(path, source) if complaint in line]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("jobs/cli/run.py", "def run():\n    from worker.executor import Executor"),
        ("jobs/cli/simulate.py", "def simulate():\n    from worker.simulator.__main__ import command"),
        ("jobs/ledger/intake.py", "import sqlalchemy as sa\nfrom jobs.money import Charge"),
        ("jobs/ledger/migrate.py", "from alembic import command"),
        ("worker/app.py", "from celery import Celery\nimport jobs.settings"),
        ("worker/endpoint.py", "import aiohttp, httpx\nfrom httpx_aiohttp import AiohttpTransport"),
        ("worker/simulator/server.py", "from aiohttp import web\nfrom worker.simulator.faults import Fault"),
        ("worker/executor.py", "import jobs.ledger.admission\nimport workers_of_another_name"),
        ("migrations/env.py", "from alembic import context\nfrom jobs.ledger.schema import metadata"),
    ],
)
def test_an_allowed_import_passes(path: str, source: str) -> None:
    assert violations(path, source) == []
