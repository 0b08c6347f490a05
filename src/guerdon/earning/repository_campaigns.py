"""SQL of campaigns as their operators and members see them, and of pools. What booking draws on is in `repository_volume.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, or_, select, update

from guerdon.earning.models_volume import CampaignCounter, CampaignRow, CampaignVersion
from guerdon.earning.volume_terms import CampaignState
from guerdon.kit.database import ScopedSession, raw_connection


async def campaign(session: ScopedSession, program_id: UUID, campaign_id: UUID) -> CampaignRow | None:
    """One campaign."""
    return await session.get(CampaignRow, (program_id, campaign_id), populate_existing=True)


async def lock_campaign(session: ScopedSession, program_id: UUID, campaign_id: UUID) -> CampaignRow | None:
    """One campaign, locked against other changes of it."""
    return await session.scalar(
        select(CampaignRow)
        .where(CampaignRow.program_id == program_id, CampaignRow.id == campaign_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def campaigns_after(session: ScopedSession, program_id: UUID, after: UUID | None, limit: int) -> Sequence[CampaignRow]:
    """A page of a program's campaigns, by id: as they were made."""
    query = select(CampaignRow).where(CampaignRow.program_id == program_id)
    if after is not None:
        query = query.where(CampaignRow.id > after)
    return (await session.scalars(query.order_by(CampaignRow.id).limit(limit))).all()


async def public_campaigns_after(
    session: ScopedSession, program_id: UUID, now: datetime, after: UUID | None, limit: int
) -> Sequence[CampaignRow]:
    """The same of those that are published and not over."""
    query = select(CampaignRow).where(
        CampaignRow.program_id == program_id, CampaignRow.state == CampaignState.PUBLISHED.value, CampaignRow.end_at > now
    )
    if after is not None:
        query = query.where(CampaignRow.id > after)
    return (await session.scalars(query.order_by(CampaignRow.id).limit(limit))).all()


async def counters(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> dict[UUID, CampaignCounter]:
    """What these campaigns have cost, and whom they paid."""
    rows = await session.scalars(
        select(CampaignCounter)
        .where(CampaignCounter.program_id == program_id, CampaignCounter.campaign_id.in_(ids))
        .execution_options(populate_existing=True)
    )
    return {row.campaign_id: row for row in rows}


async def insert_campaign(session: ScopedSession, values: Mapping[str, Any]) -> CampaignRow:
    """A new campaign."""
    row = CampaignRow(**values)
    session.add(row)
    await session.flush()
    return row


async def update_campaign(
    session: ScopedSession, program_id: UUID, campaign_id: UUID, values: Mapping[str, Any]
) -> CampaignRow | None:
    """The campaign with these columns changed."""
    return await session.scalar(
        update(CampaignRow)
        .where(CampaignRow.program_id == program_id, CampaignRow.id == campaign_id)
        .values(**values)
        .returning(CampaignRow)
        .execution_options(populate_existing=True)
    )


async def delete_draft(session: ScopedSession, program_id: UUID, campaign_id: UUID) -> bool:
    """Was it a draft?"""
    deleted = await session.scalar(
        delete(CampaignRow)
        .where(CampaignRow.program_id == program_id, CampaignRow.id == campaign_id, CampaignRow.version == 0)
        .returning(CampaignRow.id)
    )
    return deleted is not None


async def insert_version(session: ScopedSession, values: Mapping[str, Any]) -> None:
    """What a campaign says from a time on."""
    session.add(CampaignVersion(**values))
    await session.flush()


_MAKE_COUNTER = """
insert into campaign_counters (program_id, campaign_id) values ($1, $2) on conflict (program_id, campaign_id) do nothing
"""
_LOCK_COUNTER = "select spent from campaign_counters where program_id = $1 and campaign_id = $2 for update"


async def lock_counter(session: ScopedSession, program_id: UUID, campaign_id: UUID) -> datetime:
    """Wait for the batches that draw on the campaign; the database's time then, which a new version is effective from."""
    connection = await raw_connection(session)
    await connection.execute(_MAKE_COUNTER, program_id, campaign_id)
    await connection.fetchval(_LOCK_COUNTER, program_id, campaign_id)
    # Not the transaction's time, which may be before those batches: what they have booked was settled under what was said then.
    return await connection.fetchval("select clock_timestamp()")


async def pools_due(session: ScopedSession, program_id: UUID, now: datetime) -> Sequence[CampaignRow]:
    """Pools whose end is over and that are not all paid out."""
    rows = await session.scalars(
        select(CampaignRow)
        .where(
            CampaignRow.program_id == program_id,
            CampaignRow.type == "pool",
            CampaignRow.paid_at.is_(None),
            CampaignRow.version > 0,
            or_(CampaignRow.end_at <= now, CampaignRow.frozen_at.is_not(None)),
        )
        .order_by(CampaignRow.id)
    )
    return rows.all()


async def next_pool_end(session: ScopedSession, program_id: UUID, now: datetime) -> datetime | None:
    """When the next pool ends."""
    return await session.scalar(
        select(CampaignRow.end_at)
        .where(
            CampaignRow.program_id == program_id,
            CampaignRow.type == "pool",
            CampaignRow.paid_at.is_(None),
            CampaignRow.version > 0,
            CampaignRow.end_at > now,
        )
        .order_by(CampaignRow.end_at)
        .limit(1)
    )


_WEIGHTS = """
select account_id, weight, volume_micro_usd from campaign_accounts
 where program_id = $1 and campaign_id = $2 and weight > 0 order by account_id
"""
# What nobody knows yet to be good, because it is not final or waits for an operator, has no share: it could not be taken back.
_UNDECIDED = """
select a.account_id, sum((use ->> 'weight')::numeric) as weight, sum(a.volume_micro_usd) as volume
  from accruals a cross join lateral jsonb_array_elements(a.counted -> 'uses') use
 where a.program_id = $1 and a.held_for in ('finality', 'review') and use ->> 'campaign' = $2 group by 1
"""
_SHARE = """
insert into pool_shares (program_id, campaign_id, account_id, id, points, weight)
select $1, $2, s.account_id, s.id, s.points, s.weight
from unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::numeric[]) as s(account_id, id, points, weight)
"""
_SPENT = "update campaign_counters set spent = $3 where program_id = $1 and campaign_id = $2"
_UNPAID_ACCOUNTS = """
select account_id from pool_shares
 where program_id = $1 and campaign_id = $2 and paid_at is null order by account_id limit $3
"""
_LOCK_UNPAID = """
select s.* from unnest($3::uuid[]) as w(account_id) cross join lateral (
    select account_id, id, points, weight from pool_shares
     where program_id = $1 and campaign_id = $2 and account_id = w.account_id and paid_at is null for update offset 0) s
"""
_NOTE_PAID = """
update campaigns set paid_at = $3 where program_id = $1 and id = $2 and paid_at is null and frozen_at is not null
   and not exists (select from pool_shares s where s.program_id = $1 and s.campaign_id = $2 and s.paid_at is null)
"""
_PAID = """
update pool_shares set paid_at = $4 where program_id = $1 and campaign_id = $2 and account_id = any($3::uuid[])
"""


async def weights(session: ScopedSession, program_id: UUID, campaign_id: UUID, least_volume: int) -> dict[UUID, int]:
    """What each account that qualifies weighs in a pool, by what is final and reviewed."""
    connection = await raw_connection(session)
    rows = await connection.fetch(_UNDECIDED, program_id, str(campaign_id))
    undecided = {row["account_id"]: (int(row["weight"]), int(row["volume"])) for row in rows}
    found: dict[UUID, int] = {}
    for row in await connection.fetch(_WEIGHTS, program_id, campaign_id):
        weight, volume = undecided.get(row["account_id"], (0, 0))
        if int(row["volume_micro_usd"]) - volume >= least_volume:
            found[row["account_id"]] = int(row["weight"]) - weight
    return found


async def insert_shares(
    session: ScopedSession, program_id: UUID, campaign_id: UUID, shares: Sequence[tuple[UUID, UUID, int, int]]
) -> None:
    """The shares of a frozen pool: account, accrual, points, weight; what it costs is their sum."""
    connection = await raw_connection(session)
    columns = [list(column) for column in zip(*shares, strict=True)] or [[], [], [], []]
    await connection.execute(_SHARE, program_id, campaign_id, *columns)
    await connection.execute(_SPENT, program_id, campaign_id, sum(points for _, _, points, _ in shares) * 1_000_000)


async def unpaid_accounts(session: ScopedSession, program_id: UUID, campaign_id: UUID, limit: int) -> list[UUID]:
    """Accounts whose share is not booked yet, by id."""
    rows = await (await raw_connection(session)).fetch(_UNPAID_ACCOUNTS, program_id, campaign_id, limit)
    return [row["account_id"] for row in rows]


async def lock_unpaid(
    session: ScopedSession, program_id: UUID, campaign_id: UUID, accounts: Sequence[UUID]
) -> list[tuple[UUID, UUID, int, int]]:
    """Of these accounts the shares that are not booked yet: account, accrual, points, weight."""
    rows = await (await raw_connection(session)).fetch(_LOCK_UNPAID, program_id, campaign_id, list(accounts))
    return [(row["account_id"], row["id"], row["points"], int(row["weight"])) for row in rows]


async def note_paid(session: ScopedSession, program_id: UUID, campaign_id: UUID, now: datetime) -> None:
    """Note that the whole pool is booked, if it is."""
    await (await raw_connection(session)).execute(_NOTE_PAID, program_id, campaign_id, now)


async def mark_paid(session: ScopedSession, program_id: UUID, campaign_id: UUID, accounts: Sequence[UUID], now: datetime) -> None:
    """Note that these shares are booked."""
    await (await raw_connection(session)).execute(_PAID, program_id, campaign_id, list(accounts), now)
