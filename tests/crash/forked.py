"""imagemill processes that start in milliseconds: forks of a server that has imported everything and done nothing.

The server has one thread, no connection and no open ledger, so a fork of it is a fresh process. The children are
real ones: they run the real command line and die by real signals.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Imported for the server's sake: what a command imports inside itself is there already in its children.
import celery.apps.worker
import celery.concurrency.thread
import kombu.transport.pyamqp
import kombu.transport.redis
import psycopg
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite

import jobs.cli.running
import jobs.cli.working
import jobs.ledger.migrate
import jobs.report.costs
import worker.embedded
import worker.tickets
from jobs.cli import main as imagemill
from tests.crash import settling
from tests.crash.boundaries import PLACES
from tests.crash.stops import Way, die, plant
from tests.faults import launch
from tests.faults.powercut import Kept, PowerCut

__all__ = ["Child", "Order", "Stop"]

_PR_SET_PDEATHSIG = 1
_MODULES = (celery, kombu, psycopg, sqlalchemy, jobs, worker)


@dataclass(frozen=True, slots=True)
class Stop:
    """A name out of PLACES, a way, and the file that is touched there. `kept`: a kill is a power cut."""

    place: str
    way: Way
    mark: Path
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to be: a command line in a folder, with its environment, and perhaps a stop."""

    arguments: tuple[str, ...]
    env: dict[str, str]
    home: Path
    log: Path
    constants: dict[str, Any]
    stop: Stop | None
    together: int
    """So many answers are booked as one group, the first time; 0: as they come."""


class Child:
    """A process under way."""

    _context = multiprocessing.get_context("forkserver")
    _turn = threading.Lock()  # the server's pipes are not for several threads at once

    def __init__(self, order: Order) -> None:
        self.order = order
        with self._turn:
            self._context.set_forkserver_preload(["tests.crash.forked", "pytest"])
            self._process = self._context.Process(target=_become, args=(order,))
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with self._turn:
            return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self.pid, number)


def _become(order: Order) -> None:
    """In the child: turn into that command."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody outlives the test run
    assert threading.active_count() == 1, "the server must not have threads"
    output = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    os.environ.clear()
    os.environ.update(order.env)
    os.chdir(order.home)
    launch.plant({"constants": order.constants})
    if order.together:
        settling.together(order.together)
    if order.stop:
        end = PowerCut(order.home / "data", order.stop.kept) if order.stop.kept else die
        plant(PLACES[order.stop.place], order.stop.way, order.stop.mark, end)
    imagemill(list(order.arguments))
