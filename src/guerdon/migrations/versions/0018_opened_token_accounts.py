"""Whose token accounts on a Solana our transactions made: rent is paid once."""

from __future__ import annotations

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A new, empty table."""
    op.execute(
        """
        create table opened_token_accounts (
            network text not null,
            token_address text not null,
            owner text not null,
            batch_id uuid not null,
            constraint pk_opened_token_accounts primary key (network, token_address, owner),
            constraint fk_opened_token_accounts_network_networks foreign key (network) references networks (name),
            constraint fk_opened_token_accounts_batch_id_batches foreign key (batch_id) references batches (id)
        )
        """
    )
    for statement in policies("opened_token_accounts", Scope.PLATFORM):
        op.execute(statement)
    op.execute("grant select, insert, update on opened_token_accounts to guerdon_app")


def downgrade() -> None:
    """What was opened is forgotten."""
    op.execute("drop table opened_token_accounts")
