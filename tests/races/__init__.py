"""Races for one ledger, fought by threads of several processes that start together; tests call them by name."""
