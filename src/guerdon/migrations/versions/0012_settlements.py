"""Settlements: sources and their secrets, assets that count, what was reported, what is proven, what is reviewed."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_SCOPES = {
    "sources": Scope.JOINT,
    "source_secrets": Scope.TENANT,
    "settlement_assets": Scope.PLATFORM,
    "settlement_hints": Scope.TENANT,
    "settlements": Scope.TENANT,
    "settlement_marks": Scope.TENANT,
    "settlement_flags": Scope.TENANT,
    "denied_addresses": Scope.TENANT,
}
_OVER_ALL_TENANTS = "(select current_setting('guerdon.platform', true)) = 'on'"
# What waits over all programs: counts and ages, and whose work it is (SAFETY S2). Both read what is unfinished and nothing else.
_FUNCTIONS = {
    "settlement_gauges_v1()": f"""
        returns table (gauge text, label text, items bigint, oldest_seconds double precision)
        language sql stable security definer set search_path = pg_catalog, public
        as $$ select 'settlement_hints', state, count(*), extract(epoch from now() - min(received_at))::double precision
                from settlement_hints where state in ('waiting', 'watching') and {_OVER_ALL_TENANTS} group by state
              union all
              select 'settlements', state, count(*), extract(epoch from now() - min(found_at))::double precision
                from settlements where state = 'included' and {_OVER_ALL_TENANTS} group by state $$
    """,
    "settlement_work_v1()": f"""
        returns table (kind text, program_id uuid)
        language sql stable security definer set search_path = pg_catalog, public
        as $$ select distinct 'settlements.prove', h.program_id from settlement_hints h
               where h.state in ('waiting', 'watching') and h.due_at <= now() and {_OVER_ALL_TENANTS}
              union all
              select distinct 'settlements.watch', s.program_id from settlements s
               where s.state = 'included' and {_OVER_ALL_TENANTS} $$
    """,
}


def upgrade() -> None:
    """All of it is new: nothing waits."""
    for statement in Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table, scope in _SCOPES.items():
        for statement in policies(table, scope):
            op.execute(statement)
        op.execute(f"grant select, insert, update, delete on {table} to guerdon_app")
    for function, definition in _FUNCTIONS.items():
        op.execute(f"create function {function} {definition}")
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to guerdon_app")
    with op.get_context().autocommit_block():
        # Built beside the traffic; one that a killed run left half-made is in the way.
        op.execute("drop index concurrently if exists ix_addresses_verified")
        op.execute("create index concurrently ix_addresses_verified on addresses (program_id, verified_at)")


def downgrade() -> None:
    """What was proven and credited stays in the ledger."""
    op.execute("drop index ix_addresses_verified")
    for function in _FUNCTIONS:
        op.execute(f"drop function {function}")
    for table in reversed(_SCOPES):
        op.execute(f"drop table {table}")
