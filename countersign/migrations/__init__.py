"""Alembic steps of the record and the working tables; the ledger only grows."""
