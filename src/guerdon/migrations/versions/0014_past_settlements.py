"""What was settled is read by the time of its blocks: the past that a campaign is simulated over."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists ix_settlements_settled")
        op.execute(
            "create index concurrently ix_settlements_settled on settlements (program_id, settled_at, id) "
            "where account_id is not null"
        )


def downgrade() -> None:
    op.execute("drop index ix_settlements_settled")
