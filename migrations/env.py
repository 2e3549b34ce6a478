"""Run by Alembic, online only: the connection and its transaction come from jobs/ledger/migrate.py."""

from alembic import context

from jobs.ledger.schema import metadata

connection = context.config.attributes["connection"]

context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
