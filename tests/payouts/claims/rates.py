"""Campaigns that pay more for points, as the platform's operator makes them for a bank's program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from guerdon.earning import service_campaigns as campaigns
from guerdon.earning.schemas_campaigns import CampaignConfig, CampaignFields, CampaignView, NewCampaign
from guerdon.ledger.rates import Rate
from tests.payouts.claims.bank import Bank
from tests.payouts.house import NETWORK

TWENTY = Rate(20)
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def config(*rates: Rate, network: str = NETWORK) -> dict[str, Any]:
    said = [
        {"network": network, "points": str(rate.points_denominator), "token_amount": str(rate.atomic_numerator)} for rate in rates
    ]
    return {"multiplier": 1, "conversion_rates": said}


def a_draft(rate: Rate = TWENTY, **fields: Any) -> dict[str, Any]:
    return {
        "name": "Better week",
        "type": "multiplier",
        "config": config(rate),
        "start_at": (now() - DAY).isoformat(),
        "end_at": (now() + DAY).isoformat(),
        **fields,
    }


async def publish(bank: Bank, rate: Rate = TWENTY, **fields: Any) -> UUID:
    """A campaign of the bank's program, as the platform's operator publishes it."""
    async with bank.house.database.operator(bank.program) as session:
        draft = NewCampaign.model_validate(a_draft(rate, active=True, **fields))
        return (await campaigns.add_campaign(session, draft, now())).id


async def move_on(bank: Bank, what: str, campaign: UUID) -> CampaignView:
    async with bank.house.database.operator(bank.program) as session:
        return await getattr(campaigns, what)(session, campaign, now())


async def change(bank: Bank, campaign: UUID, rate: Rate) -> CampaignView:
    fields = CampaignFields(config=CampaignConfig.model_validate(config(rate)))
    async with bank.house.database.operator(bank.program) as session:
        return await campaigns.put_campaign(session, campaign, fields, now())
