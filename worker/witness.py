"""What this machine remembers of its admissions, so that a ledger restored from an older backup is noticed.

A small file in the data folder names the newest attempt of each recent batch. It is written at every heartbeat and
when a worker ends, so a backup younger than one heartbeat is not told apart. Whoever is about to call the endpoint
asks it first: jobs that the backup shows as queued may have been paid for since. What was once found lost stays in
the file, whatever is admitted after it, until an operator's word is younger.
"""

import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from jobs import files
from jobs.errors import LedgerError, LedgerRestored
from jobs.ledger import restored
from jobs.ledger.admission import Admitted
from jobs.ledger.engine import Ledger
from jobs.ledger.restored import Noted

_FILE = "admitted.json"
_LOCK = "admitted.lock"
_MOST_BATCHES = 1_000
_MOST_HELD = 500
"""Calls in flight that are looked up; the newest are those that a restored ledger lacks."""


@dataclass(slots=True)
class _Memory:
    """The file: by batch, the newest attempt, and the newest of those that a ledger was found to lack."""

    newest: dict[str, Noted] = field(default_factory=dict)
    lost: dict[str, Noted] = field(default_factory=dict)


class Witness:
    """The memory of one data folder, which all workers of a machine may share. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, Noted] = {}
        self._lock = threading.Lock()

    def saw(self, admitted: Iterable[Admitted]) -> None:
        """These were admitted."""
        with self._lock:
            for one in admitted:
                self._seen[one.batch_id] = _noted(one)

    def write(self) -> None:
        """Put down what was seen since the last time. Raises OSError; the next time tries again."""
        with self._lock:
            seen = dict(self._seen)
        if not seen:
            return
        with self._rewriting() as memory:
            memory.newest = _newest(memory.newest, seen.values())
        with self._lock:
            self._seen = dict(self._seen.items() - seen.items())

    def require_known(self, ledger: Ledger, held: Iterable[Admitted] = ()) -> None:
        """Raise LedgerRestored if the ledger lacks an attempt that this machine has made, or one of those `held`,
        that this process has in flight. What it lacks is put down, so that the next worker refuses as well."""
        in_flight = {
            one.attempt_id: _noted(one) for one in sorted(held, key=lambda one: one.attempt_id)[-_MOST_HELD:]
        }
        memory = self._read()
        with self._lock:
            made = [*memory.newest.values(), *memory.lost.values(), *self._seen.values()]
        with ledger.read() as tx:
            lost = [in_flight[attempt] for attempt in restored.missing(tx, in_flight)]
            lost += restored.forgotten(tx, made)
        if lost:
            with suppress(OSError), self._rewriting() as memory:
                memory.lost = _newest(memory.lost, lost)
            raise LedgerRestored(
                f"the database does not know {lost[0].attempt}, a call that was made from here: it was restored "
                "from an older backup. Nothing more is sent until `imagemill db restored` has held the jobs that "
                "may have run already"
            )

    def _read(self) -> _Memory:
        path = self._folder / _FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Memory)
        except FileNotFoundError:
            return _Memory()
        except msgspec.MsgspecError as error:
            raise LedgerError(
                f"{path} cannot be read: {error}; it tells a restored database from the right one: remove it only "
                "if none was restored"
            ) from error

    @contextmanager
    def _rewriting(self) -> Iterator[_Memory]:
        """The memory, written back if the block ends well. Raises OSError."""
        with self._alone():
            memory = self._read()
            yield memory
            files.write_durably(self._folder / _FILE, msgspec.json.encode(memory))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Other workers of this machine wait."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _noted(one: Admitted) -> Noted:
    return Noted(one.batch_id, one.attempt_id, one.admitted_at)


def _newest(before: dict[str, Noted], more: Iterable[Noted]) -> dict[str, Noted]:
    """The newest of each batch, of the batches that were busy last."""
    by_age = sorted([*before.values(), *more], key=lambda one: one.admitted_at)
    newest = {one.batch_id: one for one in by_age}
    return dict(sorted(newest.items(), key=lambda item: item[1].admitted_at)[-_MOST_BATCHES:])
