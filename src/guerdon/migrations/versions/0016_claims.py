"""Payout options and claims; a treasury says which token it pays."""

from __future__ import annotations

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = (
    """
    create table payout_options (
        asset_id uuid not null,
        network text not null,
        namespace text not null,
        token_address text not null,
        token_decimals bigint not null,
        atomic_numerator numeric(78, 0) not null,
        points_denominator bigint not null,
        mintable boolean default false not null,
        min_points bigint default '1' not null,
        max_points bigint,
        period_points bigint,
        period_seconds bigint,
        cooldown_seconds bigint default '0' not null,
        is_default boolean default false not null,
        enabled boolean default true not null,
        created_at timestamp with time zone not null,
        updated_at timestamp with time zone not null,
        constraint pk_payout_options primary key (asset_id, network),
        constraint ck_payout_options_namespace check (namespace in ('eip155', 'solana')),
        constraint ck_payout_options_token_decimals check (token_decimals between 0 and 36),
        constraint ck_payout_options_rate check (atomic_numerator > 0 and points_denominator > 0),
        constraint ck_payout_options_bounds check (min_points > 0 and (max_points is null or max_points >= min_points)),
        constraint ck_payout_options_period check ((period_points is null) = (period_seconds is null)),
        constraint ck_payout_options_cooldown check (cooldown_seconds >= 0),
        constraint ck_payout_options_default_is_enabled check (enabled or not is_default),
        constraint fk_payout_options_asset_id_assets foreign key (asset_id) references assets (id)
    )
    """,
    "create unique index uq_payout_options_default on payout_options (asset_id, namespace) where is_default",
    """
    create table claims (
        program_id uuid not null,
        id uuid not null,
        account_id uuid not null,
        asset_id uuid not null,
        network text not null,
        token_address text not null,
        atomic_numerator numeric(78, 0) not null,
        points_denominator bigint not null,
        campaign_id uuid,
        points_requested bigint not null,
        address_id uuid,
        review_reason text,
        reviewed_by text,
        reviewed_at timestamp with time zone,
        review_note text,
        created_at timestamp with time zone not null,
        constraint pk_claims primary key (program_id, id),
        constraint ck_claims_amounts check (points_requested > 0 and atomic_numerator > 0 and points_denominator > 0),
        constraint ck_claims_review check ((reviewed_at is null) = (reviewed_by is null)),
        constraint fk_claims_program_id_id_deliveries foreign key (program_id, id) references deliveries (program_id, id)
    )
    """,
    "create index ix_claims_account on claims (program_id, account_id, id)",
    "alter table programs add column claim_review_points bigint",
    "alter table treasuries add column token_address text, add column token_decimals bigint",
    """
    update treasuries t set token_address = coalesce(a.token_address, ''), token_decimals = a.decimals
      from assets a where a.id = t.asset_id
    """,
    "alter table treasuries alter column token_address set not null, alter column token_decimals set not null",
    """
    alter table treasuries add constraint uq_treasuries_network_token_address_address
        unique (network, token_address, address)
    """,
    # An asset that is claimed has its token, and its rate, in its payout option.
    """
    insert into payout_options (asset_id, network, namespace, token_address, token_decimals, atomic_numerator, points_denominator,
                                mintable, is_default, created_at, updated_at)
    select a.id, a.network, n.namespace, a.token_address, a.decimals, a.atomic_per_point, 1, a.mintable, true, now(), now()
      from assets a join networks n on n.name = a.network
     where a.delivery = 'on_claim' and a.token_address is not null
    """,
    """
    update assets set network = null, token_address = null, atomic_per_point = 1, decimals = 0, mintable = false
     where delivery = 'on_claim'
    """,
)
_SCOPES = {
    "payout_options": Scope.PLATFORM,
    "claims": Scope.TENANT,
}
_BESIDE_THE_TRAFFIC = {
    "ix_deliveries_claims": "deliveries (program_id, asset_id, network, id) where kind = 'claim' and state = 'approved'",
    "ix_deliveries_claimed": (
        "deliveries (asset_id, network) include (points, amount_atomic) "
        "where kind = 'claim' and state not in ('final', 'refused', 'returned')"
    ),
}

# Sums over all tenants, for the platform alone (SAFETY S2, S3). Runs as the owner, whom row-level security does not bind.
_CLAIMED = """
create function promised_claims_v1() returns table (
    asset_id uuid, program_id uuid, network text, atomic_numerator numeric, points_denominator bigint, points numeric,
    amount_atomic numeric)
language sql stable security definer set search_path = pg_catalog, public as $$
    select d.asset_id, d.program_id, d.network, c.atomic_numerator, c.points_denominator, sum(d.points), sum(d.amount_atomic)
      from deliveries d join claims c on c.program_id = d.program_id and c.id = d.id
     where d.kind = 'claim' and d.state not in ('final', 'refused', 'returned')
       and (select current_setting('guerdon.platform', true)) = 'on'
     group by 1, 2, 3, 4, 5
$$
"""


def upgrade() -> None:
    """Small tables are changed at once; the indexes of a large one are built beside its traffic."""
    for statement in _TABLES:
        op.execute(statement)
    for table, scope in _SCOPES.items():
        for statement in policies(table, scope):
            op.execute(statement)
        op.execute(f"grant select, insert, update on {table} to guerdon_app")
    op.execute(_CLAIMED)
    op.execute("revoke all on function promised_claims_v1() from public")
    op.execute("grant execute on function promised_claims_v1() to guerdon_app")
    with op.get_context().autocommit_block():
        for name, definition in _BESIDE_THE_TRAFFIC.items():
            # One that a killed run left half-made is invalid, and in the way.
            op.execute(f"drop index concurrently if exists {name}")
            op.execute(f"create index concurrently {name} on {definition}")


def downgrade() -> None:
    """Assets that are claimed lose what they are paid in."""
    for name in _BESIDE_THE_TRAFFIC:
        op.execute(f"drop index {name}")
    op.execute("drop function promised_claims_v1()")
    op.execute("alter table treasuries drop constraint uq_treasuries_network_token_address_address")
    op.execute("alter table treasuries drop column token_address, drop column token_decimals")
    op.execute("alter table programs drop column claim_review_points")
    for table in ("claims", "payout_options"):
        op.execute(f"drop table {table}")
