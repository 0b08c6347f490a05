"""Alembic's entry point: runs the migrations as the owner on the connection that `run.py` hands over."""

from __future__ import annotations

from alembic import context

from guerdon.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
