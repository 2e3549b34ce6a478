"""Opening what a command works on: settings, the ledger, and the batch that a word means."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.options import flags
from jobs.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from jobs.ledger.engine import Ledger
    from jobs.settings import Settings


def read_settings() -> "Settings":
    from jobs.settings import load_settings

    return load_settings(**flags())


@contextmanager
def open_ledger(settings: "Settings", *, make: bool = False) -> Iterator["Ledger"]:
    """The ledger at this program's version. A SQLite file brings itself up to date; a database server is
    upgraded only by `imagemill db upgrade`. `make` says that a missing file may be made.

    Raises LedgerError where there is none, SchemaMismatch where it is of another version.
    """
    from jobs.ledger.engine import Ledger

    if not make:
        _require_there(settings.ledger_url)
    ledger = Ledger(settings.ledger_url)
    try:
        _bring_up(ledger)
        yield ledger
    finally:
        ledger.close()


@contextmanager
def reading() -> Iterator["Ledger"]:
    """The ledger of the current settings, for commands that only look or decide."""
    with open_ledger(read_settings()) as ledger:
        yield ledger


def the_batch(ledger: "Ledger", text: str) -> str:
    """The id of the batch that `text` means: an id, its beginning, or `last`. Raises UsageError."""
    from jobs.ledger.figures import list_batches, match_batch

    with ledger.read() as tx:
        found = match_batch(tx, text)
        if len(found) == 1:
            return found[0]
        known = [row.id for row in list_batches(tx)]
    if found:
        raise UsageError(f"{text!r} can mean {', '.join(found)}: give more of the id")
    if not known:
        raise UsageError("there are no batches yet: `imagemill submit MANIFEST` makes one")
    near = difflib.get_close_matches(text.upper().removeprefix("B_"), [one[2:] for one in known], n=1, cutoff=0.5)
    hint = f"did you mean b_{near[0]}?" if near else f"the newest is {known[0]};"
    raise UsageError(f"there is no batch {text!r}; {hint} `imagemill status` lists them")


def _require_there(url: str) -> None:
    if not url.startswith("sqlite"):
        return
    path = Path(url.partition(":///")[2].partition("?")[0])
    if not path.exists():
        raise LedgerError(
            f"nothing was submitted yet: there is no {path}; `imagemill submit MANIFEST` makes it, "
            "--data-dir names another folder"
        )


def _bring_up(ledger: "Ledger") -> None:
    from jobs.ledger import migrate

    if ledger.is_sqlite and migrate.current(ledger) != migrate.newest():
        migrate.upgrade(ledger)
    migrate.require_newest(ledger)
