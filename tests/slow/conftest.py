"""Scenarios that take minutes: `sh scripts/torture --scenarios`. They run in the places of the acceptance tests."""

from tests.acceptance.conftest import grown_mill, ledger_url, migrated, mill, new_mill, simulator

__all__ = ["grown_mill", "ledger_url", "migrated", "mill", "new_mill", "simulator"]
