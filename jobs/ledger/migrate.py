"""Schema versions: bring a ledger up to date, or say that it is not. The one call into Alembic, which is imported
only where there is something to bring up: every command asks for the version.

The migrations are a package of the wheel, so `imagemill db upgrade` works without the source tree. An upgrade is
one transaction: it happens whole or not at all, and of two at once the second finds it done.
"""

import re
from functools import cache
from importlib.resources import as_file, files

from sqlalchemy import Connection, inspect, text

from jobs.errors import SchemaMismatch
from jobs.ledger.engine import Ledger

_UPGRADING = 0x696D6167656D696C
"""Names PostgreSQL's advisory lock; on SQLite a writing transaction is alone anyway."""
_SCRIPT = re.compile(r"\d{4}_\w+\.py")


def upgrade(ledger: Ledger) -> tuple[str | None, str]:
    """Run what is missing; returns (version before, version now). Raises SchemaMismatch for a newer database."""
    return ledger.write(_upgrade)


def current(ledger: Ledger) -> str | None:
    """The version the database is at; None for an empty one."""
    with ledger.read() as tx:
        return _current(tx)


def newest() -> str:
    """The newest version this program knows."""
    return known()[-1]


@cache
def known() -> tuple[str, ...]:
    """All versions this program knows, oldest first: the file of a migration begins with its number."""
    scripts = files("migrations").joinpath("versions").iterdir()
    return tuple(sorted(script.name[:4] for script in scripts if _SCRIPT.fullmatch(script.name)))


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
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415

    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = tx
        command.upgrade(config, "head")


def _current(tx: Connection) -> str | None:
    if not inspect(tx).has_table("alembic_version"):
        return None
    found: str | None = tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _require_known(version: str) -> None:
    if version not in known():
        raise SchemaMismatch(
            f"the database is at version {version}, newer than this program ({newest()}): install a newer imagemill"
        )
