"""What names a program is read by that program and the platform alone: admin keys, fundings, payouts in batches, gas, and the
outbox, which had no policy at all (SAFETY S1, S3).
"""

from __future__ import annotations

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OWNED = ("admin_keys", "fundings", "batch_members", "gas_spent")
_FORMER = ("everybody_reads", "own_insert", "own_update", "own_delete")


def upgrade() -> None:
    # Each takes its table for a moment only: nothing is read or rewritten.
    for table in _OWNED:
        for policy in _FORMER:
            op.execute(f"drop policy {policy} on {table}")
        for statement in policies(table, Scope.OWNED):
            op.execute(statement)
    for statement in policies("outbox", Scope.JOINT):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop policy own on outbox")
    op.execute("alter table outbox disable row level security")
    for table in _OWNED:
        op.execute(f"drop policy own_reads on {table}")
        op.execute(f"drop policy platform_writes on {table}")
        for statement in policies(table, Scope.PLATFORM):
            op.execute(statement)
