"""Gauges over all tenants: one function that returns counts and ages, and nothing else (SAFETY S2, S23)."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Runs as the owner of the tables, whom row-level security does not bind; that is why it takes no argument and shows no row.
_GAUGES = """
create function guerdon_gauges_v1() returns table (gauge text, label text, items bigint, oldest_seconds double precision)
language sql stable security definer set search_path = pg_catalog, public as $$
    select 'deliveries', state, count(*), extract(epoch from now() - min(updated_at))::double precision
      from deliveries where state not in ('final', 'refused', 'returned') group by state
    union all
    select 'intents', state, count(*), extract(epoch from now() - min(created_at))
      from intents where state not in ('final', 'failed', 'void') group by state
    union all
    select 'batches', state, count(*), extract(epoch from now() - min(opened_at))
      from batches where state in ('open', 'frozen') group by state
    union all
    select 'fundings', state, count(*), extract(epoch from now() - min(created_at))
      from fundings where state = 'pending' group by state
    union all
    select 'work', kind, count(*), extract(epoch from now() - min(due_at))
      from work where due_at <= now() group by kind
    union all
    select 'alerts', severity, count(*), extract(epoch from now() - min(created_at))
      from outbox where severity is not null and resolved_at is null group by severity
    union all
    select 'keys_paused', network, count(*), extract(epoch from now() - min(paused_at))
      from keys where paused_at is not null group by network
$$
"""


def upgrade() -> None:
    op.execute(_GAUGES)
    op.execute("revoke all on function guerdon_gauges_v1() from public")
    op.execute("grant execute on function guerdon_gauges_v1() to guerdon_app")


def downgrade() -> None:
    op.execute("drop function guerdon_gauges_v1()")
