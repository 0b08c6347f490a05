"""The queries of `verify.py`: rows of accruals, volume and campaigns that break a rule.

They are written from what the rows mean, not from the code that books, so that an error there shows here.
"""

from __future__ import annotations

from uuid import UUID

from guerdon.kit.database import ScopedSession
from guerdon.ledger.repository_verify import Rows, broken_rows

_UNDONE = "coalesce(held_for, '') in ('rejected', 'reorganised')"


async def accruals_and_postings(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Accruals without a reward posting of their points, and reward postings without an accrual."""
    return await broken_rows(
        session,
        """
        with rewards as (select ref, asset_id, account_id, amount from postings
                          where program_id = :program_id and kind in ('reward', 'reward_held'))
        select coalesce(a.id, r.ref) as subject, a.points, r.amount as posted
          from (select * from accruals where program_id = :program_id and points > 0) a
          full join rewards r on r.ref = a.id and r.asset_id = a.asset_id and r.account_id = a.account_id
         where a.points is distinct from r.amount
        """,
        program_id,
        limit,
    )


async def fractions(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Accounts whose fraction is not what their settlements earned without what of it became whole."""
    return await broken_rows(
        session,
        f"""
        with s as (select account_id, asset_id, sum(millionths - (points - reversed)::numeric * 1000000) as millionths
                     from accruals where program_id = :program_id and millionths is not null and not {_UNDONE} group by 1, 2)
        select coalesce(f.account_id, s.account_id) as subject, f.millionths, s.millionths as of_accruals
          from (select * from point_fractions where program_id = :program_id) f
          full join s on s.account_id = f.account_id and s.asset_id = f.asset_id
         where coalesce(f.millionths, 0) <> coalesce(s.millionths, 0)
        """,
        program_id,
        limit,
    )


async def volumes(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Days of accounts whose volume is not that of their settlements."""
    return await broken_rows(
        session,
        f"""
        with s as (select account_id, (settled_at at time zone 'UTC')::date as day, sum(volume_micro_usd) as volume,
                          count(*) as settlements
                     from accruals where program_id = :program_id and settled_at is not null and not {_UNDONE} group by 1, 2)
        select coalesce(v.account_id, s.account_id) as subject, coalesce(v.day, s.day) as day, v.volume_micro_usd,
               s.volume as of_accruals, v.settlements, s.settlements as accruals
          from (select * from account_volumes where program_id = :program_id) v
          full join s on s.account_id = v.account_id and s.day = v.day
         where coalesce(v.volume_micro_usd, 0) <> coalesce(s.volume, 0)
            or coalesce(v.settlements, 0) <> coalesce(s.settlements, 0)
        """,
        program_id,
        limit,
    )


async def budgets(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Campaigns whose counter is not the sum over their accounts, or payers; and pools that gave more than they had."""
    return await broken_rows(
        session,
        """
        with s as (select campaign_id, sum(spent) as spent, count(*) filter (where joined) as participants from campaign_accounts
                    where program_id = :program_id group by 1),
        p as (select campaign_id, sum(spent) as spent from campaign_payers where program_id = :program_id group by 1),
        shared as (select campaign_id, sum(points)::numeric * 1000000 as spent from pool_shares
                    where program_id = :program_id group by 1)
        select c.campaign_id as subject, c.spent, coalesce(shared.spent, s.spent) as of_accounts, p.spent as of_payers,
               c.participants, s.participants as joined
          from campaign_counters c
          join campaigns k on k.program_id = :program_id and k.id = c.campaign_id
          left join s on s.campaign_id = c.campaign_id
          left join p on p.campaign_id = c.campaign_id
          left join shared on shared.campaign_id = c.campaign_id
         where c.program_id = :program_id
           and (c.spent <> coalesce(shared.spent, s.spent, 0) or (k.type <> 'pool' and c.spent <> coalesce(p.spent, 0))
                or c.participants <> coalesce(s.participants, 0)
                or (k.frozen_at is not null and c.spent > (k.config ->> 'pool_points')::numeric * 1000000))
        """,
        program_id,
        limit,
    )


async def campaign_uses(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Accounts that a campaign's row says something else of than their accruals."""
    return await broken_rows(
        session,
        f"""
        with s as (select a.account_id, (use ->> 'campaign')::uuid as campaign_id, sum((use ->> 'millionths')::numeric) as spent,
                          sum((use ->> 'weight')::numeric) as weight, count(*) as settlements
                     from accruals a cross join lateral jsonb_array_elements(a.counted -> 'uses') use
                    where a.program_id = :program_id and a.counted is not null and not {_UNDONE} group by 1, 2)
        select coalesce(c.account_id, s.account_id) as subject, coalesce(c.campaign_id, s.campaign_id) as campaign, c.spent,
               s.spent as of_accruals, c.settlements, s.settlements as accruals, c.weight, s.weight as weight_of_accruals
          from (select * from campaign_accounts where program_id = :program_id) c
          full join s on s.account_id = c.account_id and s.campaign_id = c.campaign_id
          join campaigns k on k.program_id = :program_id and k.id = coalesce(c.campaign_id, s.campaign_id)
         where k.frozen_at is null
           and (coalesce(c.spent, 0) <> coalesce(s.spent, 0) or coalesce(c.weight, 0) <> coalesce(s.weight, 0)
                or coalesce(c.settlements, 0) <> coalesce(s.settlements, 0))
        """,
        program_id,
        limit,
    )
