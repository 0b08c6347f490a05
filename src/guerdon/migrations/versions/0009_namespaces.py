"""A network says which kind of chain it is; only EVM networks have a chain id."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table has a handful of rows: nothing waits."""
    op.execute("alter table networks add column namespace text not null default 'eip155', alter column chain_id drop not null")
    op.execute(
        "alter table networks"
        " add constraint ck_networks_namespace check (namespace in ('eip155', 'solana')),"
        " add constraint ck_networks_chain check ((namespace = 'eip155') = (chain_id is not null))"
    )


def downgrade() -> None:
    """Networks of another kind have to be gone."""
    op.execute("alter table networks drop constraint ck_networks_chain, drop constraint ck_networks_namespace")
    op.execute("alter table networks alter column chain_id set not null, drop column namespace")
