"""Alembic migrations of the ledger, shipped in the wheel. `imagemill db upgrade` runs them."""
