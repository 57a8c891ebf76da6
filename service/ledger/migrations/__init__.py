"""Alembic migrations of the ledger, run by `hamgate migrate`."""
