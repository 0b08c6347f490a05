"""The first schema: `0001_initial.sql` has the tables; here are the policies and the grants."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCOPES: dict[Scope, tuple[str, ...]] = {
    Scope.TENANT: (
        "account_balances", "program_balances", "postings", "deliveries", "program_keys", "accounts", "identities", "rules",
        "claim_counters", "cap_counters", "accruals", "events", "event_keys", "reversals", "idempotent_requests",
    ),
    Scope.REFERENCE: ("programs", "program_domains"),
    Scope.PLATFORM: (
        "assets", "admin_keys", "fundings", "networks", "contracts", "treasuries", "intents", "nonces", "attempts", "deployment",
        "batches", "batch_members", "gas_spent",
    ),
    Scope.SECRET: ("keys", "master_secrets"),
    Scope.SHARED: ("wallets", "work", "outbox"),
}  # fmt: skip

# What is written once stays as it is: postings (DESIGN section 5), what was reported, why a report is a repeat,
# which nonce is whose, and the bytes that were signed (DESIGN section 6, rules 2 and 3).
_APPEND_ONLY = ("postings", "events", "event_keys", "nonces", "wallets", "reversals", "idempotent_requests")
_COLUMNS_ONLY = {"attempts": ("sent_at", "outcome")}

# What the platform may know about all tenants together: sums, counts and ages (SAFETY S2, S3). They run as the owner, whom
# row-level security does not bind, and answer only a transaction in platform scope.
_OVER_ALL_TENANTS = """(select current_setting('guerdon.platform', true)) = 'on'"""
_FUNCTIONS = {
    "promised_points()": f"""
        returns table (asset_id uuid, programs bigint, points numeric)
        language sql stable security definer set search_path = pg_catalog, public
        as $$ select b.asset_id, count(*), sum(b.funds + b.owed) from program_balances b
               where {_OVER_ALL_TENANTS} group by b.asset_id $$
    """,
    "unfinished_deliveries()": f"""
        returns table (program_id uuid, asset_id uuid, state text, deliveries bigint, points numeric, oldest timestamptz)
        language sql stable security definer set search_path = pg_catalog, public
        as $$ select d.program_id, d.asset_id, d.state, count(*), sum(d.points), min(d.updated_at) from deliveries d
               where {_OVER_ALL_TENANTS} and d.state not in ('final', 'refused', 'returned')
               group by d.program_id, d.asset_id, d.state $$
    """,
}


def upgrade() -> None:
    for statement in Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)
    for scope, names in _SCOPES.items():
        for table in names:
            own = (
                {"own": "id = (select nullif(current_setting('guerdon.program_id', true), '')::uuid)"}
                if table == "programs"
                else {}
            )
            for statement in policies(table, scope, **own):
                op.execute(statement)
            op.execute(f"grant select, insert on {table} to guerdon_app")
            if table in _COLUMNS_ONLY:
                op.execute(f"grant update ({', '.join(_COLUMNS_ONLY[table])}) on {table} to guerdon_app")
            elif table not in _APPEND_ONLY:
                op.execute(f"grant update, delete on {table} to guerdon_app")
    for function, definition in _FUNCTIONS.items():
        op.execute(f"create function {function} {definition}")
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to guerdon_app")
    op.execute("grant usage on schema public to guerdon_app")
    op.execute("grant select on alembic_version to guerdon_app")


def downgrade() -> None:
    """The first schema has nothing before it: drop the database instead."""
    raise RuntimeError("there is nothing before the first schema")
