"""Schema versions: bring a ledger up to date, or say that it is not. The one call into Alembic.

The migrations are a package of the wheel, so `imagemill db upgrade` works without the source tree. An upgrade is
one transaction: it happens whole or not at all, and of two at once the second finds it done.
"""

from functools import cache
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from jobs.errors import SchemaMismatch
from jobs.ledger.engine import Ledger

_UPGRADING = 0x696D6167656D696C
"""Names PostgreSQL's advisory lock; on SQLite a writing transaction is alone anyway."""


def upgrade(ledger: Ledger) -> tuple[str | None, str]:
    """Run what is missing; returns (version before, version now). Raises SchemaMismatch for a newer database."""
    return ledger.write(_upgrade)


def current(ledger: Ledger) -> str | None:
    """The version the database is at; None for an empty one."""
    with ledger.read() as tx:
        return _current(tx)


@cache
def newest() -> str:
    """The version this program knows."""
    with as_file(files("migrations")) as folder:
        head = ScriptDirectory(str(folder)).get_current_head()
    assert head is not None
    return head


def require_newest(ledger: Ledger) -> None:
    """Raise SchemaMismatch unless the ledger is exactly at this program's version."""
    found = current(ledger)
    if found is None:
        raise SchemaMismatch("the database has no imagemill tables yet: run `imagemill db upgrade`")
    _require_known(found)
    if found != newest():
        raise SchemaMismatch(
            f"the database is at version {found}, this program at {newest()}: run `imagemill db upgrade`"
        )


def _upgrade(tx: Connection) -> tuple[str | None, str]:
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADING})
    before = _current(tx)
    if before is not None:
        _require_known(before)
    if before != newest():
        _run_migrations(tx)
    return before, newest()


def _run_migrations(tx: Connection) -> None:
    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = tx
        command.upgrade(config, "head")


def _current(tx: Connection) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()


@cache
def _known() -> frozenset[str]:
    with as_file(files("migrations")) as folder:
        return frozenset(script.revision for script in ScriptDirectory(str(folder)).walk_revisions())


def _require_known(version: str) -> None:
    if version not in _known():
        raise SchemaMismatch(
            f"the database is at version {version}, newer than this program ({newest()}): install a newer imagemill"
        )
