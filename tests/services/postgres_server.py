"""A private PostgreSQL for the tests: loopback, password, durable as in production, databases by the dozen.

fsync and synchronous_commit stay on, for durability is what is tested; the rest is small so that it
starts quickly.
"""

import itertools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.services.account import unprivileged
from tests.services.find import find_postgres
from tests.services.server import Server, ServerError

CONFIG = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
shared_buffers = 32MB
max_connections = 100
wal_level = minimal
max_wal_senders = 0
max_wal_size = 256MB
"""


class PostgresServer(Server):
    """One cluster; its folder must be reachable for the account the server runs under (not below /root)."""

    stop_signal = signal.SIGINT  # "fast": ends the sessions, then closes in order
    crash_signal = signal.SIGQUIT  # "immediate": no checkpoint, recovery at the next start, children gone too

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._account = unprivileged()
        self._password = secrets.token_hex(16)
        self._data = folder / "data"
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        self._account.own(folder)
        self._programs = self._reachable(find_postgres())

    def url(self, database: str = "postgres") -> str:
        """For psycopg, libpq's tools and SQLAlchemy alike; holds the password."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        if not self._data.exists():
            self._make_cluster()
        return [str(self._programs / "postgres"), "-D", str(self._data)]

    def popen_options(self) -> dict[str, Any]:
        # PGOPTIONS, PGDATA and their like are the user's own affair.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {"env": environment, **self._account.popen_options()}

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self, template: str = "template1") -> str:
        """Copy the template, which nobody may be connected to, and return the copy's URL."""
        name = f"test_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._run(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Whoever is still connected is thrown out."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def make_template(self, name: str, fill: Callable[[str], None]) -> None:
        """Create a database called `name`, unless it is there, and have `fill` bring the one behind its URL up to
        date.

        `fill` closes its connections. Later calls are `new_database(template=name)`.
        """
        if name in self._templates:
            return
        self._templates.add(name)
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        fill(self.url(name))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _make_cluster(self) -> None:
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        self._account.own(secret)
        call = [str(self._programs / "initdb"), f"--pgdata={self._data}", "--username=postgres"]
        safety = [f"--pwfile={secret}", "--auth=scram-sha-256"]
        plain = ["--no-locale", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [*call, *safety, *plain],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **self.popen_options(),
        )
        if done.returncode != 0:
            raise ServerError(f"initdb failed\n{done.stdout}{done.stderr}")
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(CONFIG.format(port=self.port))

    def _reachable(self, programs: Path) -> Path:
        """The programs, or a copy: a wheel installed below a closed home cannot be run by another account."""
        if self._account.can_run(programs / "postgres"):
            return programs
        package = programs.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, self.folder / part.name)
        return self.folder / package.name / programs.relative_to(package)
