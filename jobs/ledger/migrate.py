"""Schema versions: bring a ledger up to date, or say that it is not. The one call into Alembic.

The migrations are a package of the wheel, so `imagemill db upgrade` works without the source tree.
"""

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from jobs.errors import SchemaMismatch
from jobs.ledger.engine import Ledger


def upgrade(ledger: Ledger) -> tuple[str | None, str]:
    """Run what is missing; returns (version before, version now)."""
    before = current(ledger)
    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["engine"] = ledger.engine
        command.upgrade(config, "head")
    return before, newest()


def current(ledger: Ledger) -> str | None:
    """The version the database is at; None for an empty one."""
    with ledger.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The version this program knows."""
    with as_file(files("migrations")) as folder:
        head = ScriptDirectory(str(folder)).get_current_head()
    assert head is not None
    return head


def require_newest(ledger: Ledger) -> None:
    """Raise SchemaMismatch unless the ledger is exactly at this program's version."""
    found = current(ledger)
    if found == newest():
        return
    if found is None:
        raise SchemaMismatch("the database has no imagemill tables yet: run `imagemill db upgrade`")
    with as_file(files("migrations")) as folder:
        known = {script.revision for script in ScriptDirectory(str(folder)).walk_revisions()}
    if found in known:
        raise SchemaMismatch(
            f"the database is at version {found}, this program at {newest()}: run `imagemill db upgrade`"
        )
    raise SchemaMismatch(
        f"the database is at version {found}, newer than this program ({newest()}): install a newer imagemill"
    )
