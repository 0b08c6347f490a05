"""All SQL of what campaigns have points claimed at. By the database's clock, read in the statement itself: whoever decides by it
has waited for locks before (`repository_options.hold`, `backing.lock_vaults`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from uuid import UUID

from sqlalchemy import delete, func, select

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.ledger.models import CampaignRate, PayoutOption


async def in_force(session: ScopedSession, program_id: UUID, asset_id: UUID) -> Sequence[CampaignRate]:
    """The rates of a program's campaigns that are active now."""
    now = func.clock_timestamp()
    found = await session.scalars(
        select(CampaignRate)
        .where(CampaignRate.program_id == program_id, CampaignRate.asset_id == asset_id)
        .where(CampaignRate.starts_at <= now, CampaignRate.ends_at > now)
        .order_by(CampaignRate.campaign_id)
        .execution_options(populate_existing=True)
    )
    return found.all()


async def has_rates(session: ScopedSession, program_id: UUID, campaign_id: UUID) -> bool:
    """Does a campaign have points claimed at rates of its own?"""
    query = select(CampaignRate.network).where(CampaignRate.program_id == program_id, CampaignRate.campaign_id == campaign_id)
    return await session.scalar(query.limit(1)) is not None


async def replace_rates(session: ScopedSession, program_id: UUID, campaign_id: UUID, rates: Collection[CampaignRate]) -> None:
    """These, and none besides, are a campaign's."""
    await session.execute(
        delete(CampaignRate).where(CampaignRate.program_id == program_id, CampaignRate.campaign_id == campaign_id)
    )
    session.add_all(rates)
    await session.flush()


async def worths(session: PlatformSession, asset_id: UUID) -> dict[UUID, Fraction]:
    """Of programs whose campaigns pay more than the options do, now or later: how many times as much they pay at most."""
    rows = await session.execute(
        select(CampaignRate, PayoutOption)
        .join(PayoutOption, (PayoutOption.asset_id == CampaignRate.asset_id) & (PayoutOption.network == CampaignRate.network))
        .where(CampaignRate.asset_id == asset_id, CampaignRate.ends_at > func.clock_timestamp(), PayoutOption.enabled)
        .execution_options(populate_existing=True)
    )
    found: dict[UUID, Fraction] = {}
    for campaign, option in rows:
        worth = campaign.rate.fraction / option.rate.fraction
        if worth > 1:
            found[campaign.program_id] = max(worth, found.get(campaign.program_id, worth))
    return found
