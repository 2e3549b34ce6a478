"""The database link of the process under test: cut, down for a moment, and the commits that go over it.

On PostgreSQL the sockets of all connections are shut down and new ones are refused; on SQLite, which has no
link, every commit fails as on a broken disk.
"""

import os
import socket
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
from sqlalchemy import event

from jobs.ledger.engine import Ledger

DOWN_S = 0.7
"""Longer than one pooled connection takes to be found broken, shorter than anybody's patience."""


class Link:
    """Every Ledger that this process opens from now on goes through it."""

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()
        self._down_until_s = 0.0
        self._sqlite = True
        self._act = threading.local()
        self._wanted: Callable[..., Any] | None = None
        self._watch_ledgers()

    def at_commits_of(
        self,
        wanted: Callable[..., Any],
        counts: Callable[..., bool],
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        """Call these around the COMMIT of each transaction of the act `wanted` that `counts`."""
        self._wanted, self._counts, self._before, self._after = wanted, counts, before, after
        write = Ledger.write

        def watched(ledger: Ledger, act: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
            return (
                write(ledger, self._noting(act), *args, **named)
                if act is wanted
                else write(ledger, act, *args, **named)
            )

        Ledger.write = watched

    def cut(self) -> None:
        """Lose the link; it can be had again after DOWN_S."""
        self._down_until_s = time.monotonic() + DOWN_S
        for connection in list(self._connections):
            if not connection.closed:
                with closing(socket.socket(fileno=os.dup(connection.fileno()))) as wire:
                    wire.shutdown(socket.SHUT_RDWR)

    def error(self) -> Exception:
        """What the driver says of it."""
        if self._sqlite:
            return sqlite3.OperationalError("disk I/O error")
        return psycopg.OperationalError("server closed the connection unexpectedly")

    def _watch_ledgers(self) -> None:
        opened = Ledger.__init__

        def __init__(ledger: Ledger, *args: Any, **named: Any) -> None:  # noqa: N807
            opened(ledger, *args, **named)
            self._attach(ledger)

        Ledger.__init__ = __init__

    def _attach(self, ledger: Ledger) -> None:
        self._sqlite = ledger.is_sqlite
        commit = ledger.engine.dialect.do_commit
        ledger.engine.dialect.do_commit = lambda connection: self._commit(commit, connection)
        if not self._sqlite:
            event.listen(ledger.engine, "do_connect", self._refuse)
            event.listen(ledger.engine, "connect", lambda connection, _: self._connections.add(connection))

    def _noting(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def noted(tx: Any, *args: Any, **named: Any) -> Any:
            result = act(tx, *args, **named)
            self._act.counts = self._counts(result, *args)
            return result

        return noted

    def _commit(self, commit: Callable[[Any], None], connection: Any) -> None:
        boundary, self._act.counts = getattr(self._act, "counts", False), False
        if boundary:
            self._before()
        if self._sqlite and self._down:
            raise self.error()
        commit(connection)
        if boundary:
            self._after()

    def _refuse(self, *_: Any) -> None:
        if self._down:
            raise psycopg.OperationalError("connection refused")

    @property
    def _down(self) -> bool:
        return time.monotonic() < self._down_until_s
