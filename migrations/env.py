"""Run by Alembic. Online only: the engine comes from the caller, see jobs/ledger/migrate.py."""

from alembic import context

from jobs.ledger.schema import metadata

engine = context.config.attributes["engine"]

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=engine.dialect.name == "sqlite",  # SQLite alters a table by copying it
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
