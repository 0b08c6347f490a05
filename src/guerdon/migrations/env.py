"""Alembic's entry point: runs the migrations as the owner on the connection that `run.py` hands over."""

from __future__ import annotations

from alembic import context

from guerdon import tables
from guerdon.kit.models import Base

assert tables  # imported for the tables that it declares

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
