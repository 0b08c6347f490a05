"""A kept answer may be wrapped anew under another secret key; everything else of it stays as it was written."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("grant update (response) on idempotent_requests to guerdon_app")


def downgrade() -> None:
    op.execute("revoke update (response) on idempotent_requests from guerdon_app")
