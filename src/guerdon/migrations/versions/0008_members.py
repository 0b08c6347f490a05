"""Members: users, their identities and sessions, challenges to sign, and the address registry of accounts."""

from __future__ import annotations

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = (
    """
    create table users (
        id uuid not null,
        created_at timestamptz not null,
        constraint pk_users primary key (id)
    )
    """,
    """
    create table user_identities (
        identity_hash bytea not null,
        user_id uuid not null,
        namespace text not null,
        method text not null,
        identity_encrypted bytea not null,
        proven_at timestamptz not null,
        constraint pk_user_identities primary key (identity_hash),
        constraint ck_user_identities_method check (method in ('eip191', 'eip1271', 'eip6492', 'ed25519')),
        constraint fk_user_identities_user_id_users foreign key (user_id) references users (id)
    )
    """,
    "create index ix_user_identities_user on user_identities (user_id)",
    """
    create table user_accounts (
        user_id uuid not null,
        program_id uuid not null,
        account_id uuid not null,
        tied_at timestamptz not null,
        constraint pk_user_accounts primary key (user_id, program_id, account_id),
        constraint fk_user_accounts_user_id_users foreign key (user_id) references users (id),
        constraint fk_user_accounts_program_id_programs foreign key (program_id) references programs (id)
    )
    """,
    """
    create table sessions (
        token_hash bytea not null,
        user_id uuid not null,
        in_cookie boolean not null,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        revoked_at timestamptz,
        constraint pk_sessions primary key (token_hash),
        constraint fk_sessions_user_id_users foreign key (user_id) references users (id)
    )
    """,
    "create index ix_sessions_user on sessions (user_id)",
    "create index ix_sessions_expires on sessions (expires_at)",
    """
    create table addresses (
        program_id uuid not null,
        id uuid not null,
        account_id uuid not null,
        network text not null,
        namespace text not null,
        chain_id bigint,
        address text not null,
        verified_at timestamptz,
        proof_method text,
        proof text,
        usable_from timestamptz,
        removed_at timestamptz,
        ended text,
        created_at timestamptz not null,
        constraint pk_addresses primary key (program_id, id),
        constraint fk_addresses_program_id_accounts foreign key (program_id, account_id) references accounts (program_id, id),
        constraint ck_addresses_namespace check (namespace in ('eip155', 'solana')),
        constraint ck_addresses_form check (namespace <> 'eip155' or address ~ '^0x[0-9a-f]{40}$'),
        constraint ck_addresses_chain check (chain_id is null or (namespace = 'eip155' and verified_at is not null)),
        constraint ck_addresses_proof_method
            check (proof_method in ('eip191', 'eip1271', 'eip6492', 'ed25519', 'transfer', 'operator')),
        constraint ck_addresses_verified
            check ((verified_at is null) = (proof_method is null) and (verified_at is null) = (usable_from is null)),
        constraint ck_addresses_ended check ((removed_at is null) = (ended is null) and ended in ('removed', 'transferred'))
    )
    """,
    """
    create unique index uq_addresses_owner on addresses (program_id, namespace, address)
    where verified_at is not null and removed_at is null and chain_id is null
    """,
    """
    create unique index uq_addresses_owner_on_chain on addresses (program_id, namespace, address, chain_id)
    where verified_at is not null and removed_at is null and chain_id is not null
    """,
    """
    create unique index uq_addresses_unproven on addresses (program_id, account_id, namespace, address)
    where verified_at is null and removed_at is null
    """,
    "create index ix_addresses_proven on addresses (program_id, namespace, address) where verified_at is not null",
    "create index ix_addresses_account on addresses (program_id, account_id, id)",
    """
    create table challenges (
        id uuid not null,
        program_id uuid,
        purpose text not null,
        user_id uuid,
        account_id uuid,
        address_id uuid,
        network text not null,
        namespace text not null,
        chain_id bigint,
        address text not null,
        nonce text not null,
        message text not null,
        transfer_to text,
        transfer_amount numeric(78, 0),
        expires_at timestamptz not null,
        used_at timestamptz,
        created_at timestamptz not null,
        constraint pk_challenges primary key (id),
        constraint uq_challenges_nonce unique (nonce),
        constraint ck_challenges_purpose check (purpose in ('sign_in', 'add_identity', 'link', 'transfer')),
        constraint ck_challenges_bound check (case when purpose in ('link', 'transfer')
            then program_id is not null and account_id is not null and address_id is not null
            else program_id is null and account_id is null and address_id is null end),
        constraint ck_challenges_user check ((purpose = 'add_identity') = (user_id is not null))
    )
    """,
    "create index ix_challenges_expires on challenges (expires_at)",
    "create index ix_challenges_address on challenges (address_id, id) where address_id is not null",
    """
    create unique index uq_challenges_live on challenges (program_id, account_id, address_id)
    where used_at is null and address_id is not null
    """,
    # Checked for new rows at once, for the old ones below.
    "alter table accounts add column user_id uuid, add column primary_address_id uuid, add column updated_at timestamptz",
    "alter table accounts add constraint fk_accounts_user_id_users foreign key (user_id) references users (id) not valid",
    """
    alter table accounts add constraint fk_accounts_program_id_addresses
    foreign key (program_id, primary_address_id) references addresses (program_id, id) not valid
    """,
    "alter table programs add column address_wait_hours bigint not null default 24",
    "alter table programs add constraint ck_programs_address_wait_hours check (address_wait_hours between 0 and 720)",
)
_BESIDE_THE_TRAFFIC = (
    "alter table accounts validate constraint fk_accounts_user_id_users",
    "alter table accounts validate constraint fk_accounts_program_id_addresses",
    # One that a killed run left half-made is invalid, and in the way.
    "drop index concurrently if exists ix_accounts_user",
    "create index concurrently ix_accounts_user on accounts (program_id, user_id) where user_id is not null",
)
_SCOPES = {
    "users": Scope.SECRET,
    "user_identities": Scope.SECRET,
    "user_accounts": Scope.SECRET,
    "sessions": Scope.SECRET,
    "addresses": Scope.TENANT,
    "challenges": Scope.JOINT,
}
_KEPT = ("users", "addresses")
"""Rows of these are never deleted."""


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    for table, scope in _SCOPES.items():
        for statement in policies(table, scope):
            op.execute(statement)
        op.execute(f"grant select, insert, update on {table} to guerdon_app")
        if table not in _KEPT:
            op.execute(f"grant delete on {table} to guerdon_app")
    with op.get_context().autocommit_block():
        for statement in _BESIDE_THE_TRAFFIC:
            op.execute(statement)


def downgrade() -> None:
    op.execute("alter table programs drop column address_wait_hours")
    op.execute("alter table accounts drop column user_id, drop column primary_address_id, drop column updated_at")
    for table in ("challenges", "addresses", "sessions", "user_accounts", "user_identities", "users"):
        op.execute(f"drop table {table}")
