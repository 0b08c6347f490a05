"""What is asked often costs as much for a large program as for a small one: indexes, and gauges of every unfinished state that
read no backlog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Built beside the traffic: each `concurrently`, and so outside of a transaction.
_INDEXES = {
    # Unfinished payouts by state, for all programs (gauges, the sweep) and for one (reserving, lists). `refused` and `returned`
    # are in it for the lists; `final`, which is nearly all, is not.
    "ix_deliveries_state": "deliveries (state, program_id, asset_id, id) where state <> 'final'",
    "ix_deliveries_unfinished_account": (
        "deliveries (program_id, account_id) where state not in ('final', 'refused', 'returned')"
    ),
    "ix_outbox_alerts": "outbox (id) where severity is not null",
    "ix_outbox_open_alerts": "outbox (id) where severity is not null and resolved_at is null",
    "ix_fundings_program": "fundings (program_id, id)",
    "ix_intents_kind": "intents (key_id, kind, id)",
    "ix_intents_nonce": "intents (key_id, nonce)",
    "ix_batches_chain": "batches (treasury_id, chain_batch_id) where chain_batch_id is not null",
    "ix_program_domains_domain": "program_domains (domain)",
}
_REPLACED = {
    "ix_deliveries_unfinished": "deliveries (program_id, state, id) where state not in ('final', 'refused', 'returned')",
}

_OVER_ALL_TENANTS = "(select current_setting('guerdon.platform', true)) = 'on'"
# From one program to the next through the index, however many payouts each of them has. A plan that was made while the table
# was empty would read and sort all of it, so there is only one way to plan it.
_WAITING = f"""
create function waiting_deliveries_v1() returns table (state text, program_id uuid, asset_id uuid, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog, public
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
    with recursive place as (
        (select d.state, d.program_id, d.asset_id, d.requested_at from deliveries d
          where d.state <> 'final' and {_OVER_ALL_TENANTS}
          order by d.state, d.program_id, d.asset_id, d.id limit 1)
        union all
        select following.* from place p cross join lateral (
            select d.state, d.program_id, d.asset_id, d.requested_at from deliveries d
             where d.state <> 'final' and (d.state, d.program_id, d.asset_id) > (p.state, p.program_id, p.asset_id)
             order by d.state, d.program_id, d.asset_id, d.id limit 1) following
    )
    select p.state, p.program_id, p.asset_id, p.requested_at from place p where p.state not in ('refused', 'returned')
$$
"""

# Counts and ages over all tenants, of every unfinished state, and nothing else (SAFETY S2, S23). Of payouts the oldest by the way
# above, and a count that stops at ten thousand a state. Version 1 stays for the processes of the release before.
_GAUGES = """
create function guerdon_gauges_v2()
returns table (gauge text, label text, items bigint, oldest_seconds double precision)
language sql stable security definer set search_path = pg_catalog, public set enable_seqscan = off as $$
    select 'deliveries', w.state, c.items, extract(epoch from now() - w.oldest)::double precision
      from (select state, min(oldest) as oldest from waiting_deliveries_v1() group by state) w
     cross join lateral (select count(*) as items from (
           select from deliveries d where d.state = w.state and d.state <> 'final' limit 10000) few) c
    union all
    select 'batches', state, count(*), extract(epoch from now() - min(opened_at))
      from batches where state in ('open', 'closed', 'frozen') and (state <> 'open' or size > 0) group by state
    union all
    select 'intents', state, count(*), extract(epoch from now() - min(created_at))
      from intents where state not in ('final', 'failed', 'void') group by state
    union all
    select 'attempts', case when a.sent_at is null then 'signed' else 'sent' end, count(*),
           extract(epoch from now() - min(a.signed_at))
      from intents i join attempts a on a.intent_id = i.id and a.nonce = i.nonce
     where i.state not in ('final', 'failed', 'void') and i.state in ('signed', 'sent', 'unknown') group by 2
    union all
    select 'fundings', state, count(*), extract(epoch from now() - min(created_at))
      from fundings where state = 'pending' group by state
    union all
    select 'work', kind, count(*), extract(epoch from now() - min(greatest(least(due_at, claimed_until), not_before)))
      from work
     where (due_at <= now() or claimed_until <= now()) and coalesce(not_before, '-infinity') <= now()
       and coalesce(claimed_until, '-infinity') <= now()
     group by kind
    union all
    select 'work_running', kind, count(*), extract(epoch from now() - min(updated_at))
      from work where claimed_until > now() group by kind
    union all
    select 'work_failing', kind, count(*), null::double precision
      from work where (due_at is not null or claimed_until is not null) and last_error is not null group by kind
    union all
    select 'alerts', severity, count(*), extract(epoch from now() - min(created_at))
      from outbox where severity is not null and resolved_at is null group by severity
    union all
    select 'keys_paused', network, count(*), extract(epoch from now() - min(paused_at))
      from keys where paused_at is not null group by network
    union all
    select 'keys_idle', network, count(*), extract(epoch from now() - min(coalesce(lease_until, created_at)))
      from keys where coalesce(lease_until, '-infinity') < now() group by network
    union all
    select 'treasuries_paused', network, count(*), extract(epoch from now() - min(paused_at))
      from treasuries where paused_at is not null group by network
    union all
    select 'programs_short', case when funds = 0 then 'empty' else 'low' end, count(*), null::double precision
      from program_balances where funds::numeric * 20 < funded group by 2
$$
"""


def upgrade() -> None:
    _build(_INDEXES)
    _drop(_REPLACED)
    op.execute(_WAITING)
    op.execute("revoke all on function waiting_deliveries_v1() from public")
    op.execute("grant execute on function waiting_deliveries_v1() to guerdon_app")
    op.execute(_GAUGES)
    op.execute("revoke all on function guerdon_gauges_v2() from public")
    op.execute("grant execute on function guerdon_gauges_v2() to guerdon_app")


def downgrade() -> None:
    op.execute("drop function guerdon_gauges_v2()")
    op.execute("drop function waiting_deliveries_v1()")
    _build(_REPLACED)
    _drop(_INDEXES)


def _build(indexes: Mapping[str, str]) -> None:
    with op.get_context().autocommit_block():
        for name, definition in indexes.items():
            # One that a killed run left half-made is invalid, and in the way.
            op.execute(f"drop index concurrently if exists {name}")
            op.execute(f"create index concurrently {name} on {definition}")


def _drop(indexes: Iterable[str]) -> None:
    with op.get_context().autocommit_block():
        for name in indexes:
            op.execute(f"drop index concurrently if exists {name}")
