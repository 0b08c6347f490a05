"""What waits of settled volume over all programs: points that are held, pools that have ended; and whose work is overdue."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OVER_ALL_TENANTS = "(select current_setting('guerdon.platform', true)) = 'on'"
# Counts and ages, and whose work it is (SAFETY S2). Partial indexes hold what waits and no more; counts stop at ten thousand.
_FUNCTIONS = {
    "volume_gauges_v1()": f"""
        returns table (gauge text, label text, items bigint, oldest_seconds double precision)
        language sql stable security definer set search_path = pg_catalog, public set enable_seqscan = off
        as $$ select 'accruals_held', w.held_for, count(*), extract(epoch from now() - min(f.accrued_at))::double precision
                from unnest(array['finality', 'holding', 'review']) w(held_for)
               cross join lateral (
                     select accrued_at from accruals a
                      where a.held_for in ('finality', 'holding', 'review') and a.held_for = w.held_for limit 10000) f
               where {_OVER_ALL_TENANTS} group by w.held_for
              union all
              select 'pools', case when frozen_at is null then 'ended' else 'frozen' end, count(*),
                     extract(epoch from now() - min(end_at))::double precision
                from campaigns where type = 'pool' and paid_at is null and version > 0 and end_at <= now() and {_OVER_ALL_TENANTS}
               group by 2 $$
    """,
    "volume_work_v1()": f"""
        returns table (kind text, program_id uuid)
        language sql stable security definer set search_path = pg_catalog, public set enable_seqscan = off
        as $$ select distinct 'volume.mature', a.program_id from accruals a
               where a.held_for in ('finality', 'holding', 'review') and a.held_for = 'holding' and a.held_until <= now()
                 and {_OVER_ALL_TENANTS}
              union all
              select distinct 'campaigns.freeze', c.program_id from campaigns c
               where c.type = 'pool' and c.paid_at is null and c.version > 0 and c.end_at <= now() and {_OVER_ALL_TENANTS}
              union all
              select 'points.expire', t.program_id from volume_terms t
               where (t.expire_after_days is not null or t.expire_idle_days is not null) and {_OVER_ALL_TENANTS} $$
    """,
}


def upgrade() -> None:
    for function, definition in _FUNCTIONS.items():
        op.execute(f"create function {function} {definition}")
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to guerdon_app")


def downgrade() -> None:
    for function in _FUNCTIONS:
        op.execute(f"drop function {function}")
