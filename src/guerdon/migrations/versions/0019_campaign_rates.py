"""What campaigns have points claimed at, and what each program may still give or owe."""

from __future__ import annotations

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import OWN, policies

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TABLE = """
create table campaign_rates (
    program_id uuid not null,
    campaign_id uuid not null,
    network text not null,
    asset_id uuid not null,
    atomic_numerator numeric(78, 0) not null,
    points_denominator bigint not null,
    starts_at timestamp with time zone not null,
    ends_at timestamp with time zone not null,
    constraint pk_campaign_rates primary key (program_id, campaign_id, network),
    constraint ck_campaign_rates_rate check (atomic_numerator > 0 and points_denominator > 0)
)
"""
# Sums for the platform alone (SAFETY S2, S3). Runs as the owner, whom row-level security does not bind.
_PROMISED = """
create function promised_by_program_v1(of_asset uuid) returns table (program_id uuid, points numeric)
language sql stable security definer set search_path = pg_catalog, public as $$
    select b.program_id, b.funds + b.owed from program_balances b
     where b.asset_id = of_asset and (select current_setting('guerdon.platform', true)) = 'on'
$$
"""


def upgrade() -> None:
    """A new, empty table."""
    op.execute(_TABLE)
    op.execute("create index ix_campaign_rates_asset_id_ends_at on campaign_rates (asset_id, ends_at)")
    for statement in policies("campaign_rates", Scope.OWNED):
        op.execute(statement)
    # Whoever may change a campaign may end it; what it pays is the platform's (SAFETY S3).
    op.execute(f"create policy own_deletes on campaign_rates for delete using ({OWN})")
    op.execute("grant select, insert, delete on campaign_rates to guerdon_app")
    op.execute(_PROMISED)
    op.execute("revoke all on function promised_by_program_v1(uuid) from public")
    op.execute("grant execute on function promised_by_program_v1(uuid) to guerdon_app")


def downgrade() -> None:
    """Claims are made at the options' rates again."""
    op.execute("drop function promised_by_program_v1(uuid)")
    op.execute("drop table campaign_rates")
