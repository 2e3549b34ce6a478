"""What this machine remembers of its admissions, so that a ledger restored from an older backup is noticed.

A small file in the data folder names the newest attempt of each recent batch. It is written at every heartbeat and
when a worker ends, so a backup younger than one heartbeat is not told apart. Whoever is about to call the endpoint
asks it first: jobs that the backup shows as queued may have been paid for since.
"""

import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
                self._seen[one.batch_id] = Noted(one.attempt_id, one.admitted_at)

    def write(self) -> None:
        """Put down what was seen since the last time. Raises OSError; the next time tries again."""
        with self._lock:
            seen = dict(self._seen)
        if not seen:
            return
        with self._alone():
            noted = self._read()
            for batch_id, one in seen.items():
                noted[batch_id] = max(one, noted.get(batch_id, one), key=lambda note: note.admitted_at)
            newest = sorted(noted.items(), key=lambda note: note[1].admitted_at)[-_MOST_BATCHES:]
            files.write_durably(self._folder / _FILE, msgspec.json.encode(dict(newest)))
        with self._lock:
            self._seen = dict(self._seen.items() - seen.items())

    def require_known(self, ledger: Ledger, held: Iterable[str] = ()) -> None:
        """Raise LedgerRestored if the ledger lacks an attempt that this machine has made, or `held`, that this
        process has in flight."""
        with self._lock:
            noted = self._read() | self._seen
        with ledger.read() as tx:
            lost = restored.missing(tx, sorted(held)[-_MOST_HELD:]) or restored.forgotten(tx, noted)
        if lost:
            raise LedgerRestored(
                f"the database does not know {lost[-1]}, a call that was made from here: it was restored from an "
                "older backup. Nothing more is sent until `imagemill db restored` has held the jobs that may have "
                "run already"
            )

    def _read(self) -> dict[str, Noted]:
        path = self._folder / _FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Noted])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise LedgerError(
                f"{path} cannot be read: {error}; it tells a restored database from the right one: remove it only "
                "if none was restored"
            ) from error

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
