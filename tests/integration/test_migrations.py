"""Migrations: they build what the models say, once, whole, from wherever the package is installed."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import jobs
import migrations
from jobs.errors import LedgerAway, SchemaMismatch
from jobs.ledger import migrate
from jobs.ledger.engine import Ledger
from jobs.ledger.schema import metadata
from tests.integration.ledgers import all_at_once


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    make: Callable[..., str] = request.getfixturevalue("postgres_database")
    return make()


def set_version(tx: Connection, version: str) -> None:
    tx.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def tables(ledger: Ledger) -> set[str]:
    with ledger.read() as tx:
        return set(inspect(tx).get_table_names())


def test_the_versions_are_those_that_alembic_finds() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert list(migrate.known()) == [script.revision for script in scripts.walk_revisions()][::-1]
    assert migrate.newest() == scripts.get_current_head()


def test_models_and_migrations_agree(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_models_and_migrations_agree_on_checks_and_on_the_conditions_of_indexes(
    ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Alembic's comparison passes over both."""
    url = (
        f"sqlite:///{tmp_path / 'models.db'}"
        if ledger.is_sqlite
        else request.getfixturevalue("postgres_database")()
    )
    modelled = Ledger(url)
    metadata.create_all(modelled.engine)
    assert definitions(modelled) == definitions(ledger)
    modelled.close()


def definitions(ledger: Ledger) -> dict[str, list[str]]:
    """Tables, constraints and indexes by name, each as its clauses in alphabetical order."""
    with ledger.read() as tx:
        found = tx.execute(SQLITE_DEFINITIONS if ledger.is_sqlite else POSTGRESQL_DEFINITIONS).all()
    assert len(found) > len(metadata.tables)
    return {name: sorted("".join(sql.strip(") ").split()).split(",")) for name, sql in found}


SQLITE_DEFINITIONS = text(
    "SELECT name, substr(replace(sql, '\"', ''), instr(sql, '(') + 1) FROM sqlite_master"
    " WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
)
POSTGRESQL_DEFINITIONS = text(
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    " AND conname NOT LIKE 'alembic%'"
    " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    " AND indexname NOT LIKE 'alembic%'"
)


def test_an_upgrade_tells_where_it_came_from_and_a_second_one_does_nothing(empty_url: str) -> None:
    ledger = Ledger(empty_url)
    assert migrate.current(ledger) is None
    with pytest.raises(SchemaMismatch, match="db upgrade"):
        migrate.require_newest(ledger)
    assert migrate.upgrade(ledger) == (None, migrate.newest())
    assert migrate.upgrade(ledger) == (migrate.newest(), migrate.newest())
    migrate.require_newest(ledger)
    ledger.close()


def test_upgrades_at_once_build_the_tables_once(empty_url: str) -> None:
    ledger = Ledger(empty_url)
    results = all_at_once([partial(migrate.upgrade, ledger) for _ in range(4)])
    assert sorted(str(before) for before, _ in results) == [migrate.newest()] * 3 + ["None"]
    assert tables(ledger) == {*metadata.tables, "alembic_version"}
    ledger.close()


def test_an_upgrade_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(empty_url)
    monkeypatch.setattr(migrate, "_run_migrations", partial(run_then_fail, migrate._run_migrations))
    with pytest.raises(ConnectionResetError):
        migrate.upgrade(ledger)
    assert tables(ledger) == set()
    ledger.close()


def run_then_fail(run: Callable[[Connection], None], tx: Connection) -> None:
    run(tx)
    raise ConnectionResetError


def test_a_newer_database_is_refused_by_name(ledger: Ledger) -> None:
    ledger.write(set_version, "9999")
    try:
        for refuse in (migrate.require_newest, migrate.upgrade):
            with pytest.raises(SchemaMismatch, match=r"version 9999, newer than this program .* newer imagemill"):
                refuse(ledger)
    finally:
        ledger.write(set_version, migrate.newest())


def test_a_database_that_does_not_answer_is_a_ledger_that_is_away() -> None:
    ledger = Ledger("postgresql://nobody@127.0.0.1:9/nothing")
    for ask in (migrate.current, migrate.upgrade):
        with pytest.raises(LedgerAway):
            ask(ledger)
    ledger.close()


def test_an_upgrade_works_without_the_source_tree(tmp_path: Path) -> None:
    """From a folder with per cent signs and blanks in its name, as site-packages may have."""
    site = tmp_path / "site %20 packages"
    for package in (jobs, migrations):
        source = Path(package.__path__[0])
        shutil.copytree(source, site / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import jobs, migrations\n"
        "from jobs.ledger import migrate\n"
        "from jobs.ledger.engine import Ledger\n"
        "ledger = Ledger('sqlite:///new.db')\n"
        "print(migrations.__file__, migrate.upgrade(ledger)[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{site / 'migrations' / '__init__.py'} {migrate.newest()}\n"
