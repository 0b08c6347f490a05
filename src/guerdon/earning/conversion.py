"""What a campaign has its program's points claimed at while it is active (decision 0042): rates of payout options, by network.

Claims are made at it (`payouts/claims`), and what backs points counts it (`txmanager/backing.py`), by the rows that are written
here. It spends what the treasuries hold, so the platform's operator alone has it published; whoever may change a campaign
may pause or end it (SAFETY S3).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from guerdon.earning.errors import CampaignUnbackedError, InvalidCampaignError
from guerdon.kit.database import OperatorSession, ProgramSession
from guerdon.ledger.models import Asset, CampaignRate, PayoutOption
from guerdon.programs.errors import PlatformOnlyError
from guerdon.programs.models import Program
from guerdon.txmanager import backing, repository_options, repository_rates


async def publish_rates(
    session: ProgramSession, campaign_id: UUID, config: Mapping[str, Any], dates: tuple[datetime, datetime]
) -> None:
    """Have claims made at a campaign's rates between these dates, and at no others of it. The campaign's row is locked, no more.

    Raises `PlatformOnlyError`, `InvalidCampaignError` where a rate is none of an option or not above its own, and
    `CampaignUnbackedError`.
    """
    said = config.get("conversion_rates")
    if not said:
        await withdraw_rates(session, campaign_id)
        return
    if not isinstance(session, OperatorSession):
        raise PlatformOnlyError
    program = await session.get_one(Program, session.program_id)
    asset = await session.get_one(Asset, program.asset_id)
    await backing.lock_vaults(session, asset)
    rates = [
        CampaignRate(
            program_id=program.id,
            campaign_id=campaign_id,
            network=one["network"],
            asset_id=asset.id,
            atomic_numerator=int(one["token_amount"]),
            points_denominator=int(one["points"]),
            starts_at=dates[0],
            ends_at=dates[1],
        )
        for one in said
    ]
    _check(rates, [option for option, _ in await repository_options.options(session, asset.id)])
    short_before = await backing.unbacked(session, asset)
    await repository_rates.replace_rates(session, program.id, campaign_id, rates)
    short = await backing.unbacked(session, asset)
    if short > max(short_before, 0):
        raise CampaignUnbackedError(details={"missingPoints": str(short)})


async def withdraw_rates(session: ProgramSession, campaign_id: UUID) -> None:
    """Have claims made at none of a campaign's rates any more, those excepted that are being made."""
    if await repository_rates.has_rates(session, session.program_id, campaign_id):
        program = await session.get_one(Program, session.program_id)
        await repository_options.begin_change(session, program.asset_id)
        await repository_rates.replace_rates(session, session.program_id, campaign_id, ())


def _check(rates: Collection[CampaignRate], options: Collection[PayoutOption]) -> None:
    own = {option.network: option.rate for option in options}
    for one in rates:
        if one.network not in own:
            problem = f"name {one.network}, where these points are not paid: {', '.join(own) or 'they are paid nowhere'}"
        elif one.rate.fraction <= own[one.network].fraction:
            problem = f"are not above the payout option's own on {one.network}, {own[one.network]}"
        else:
            continue
        raise InvalidCampaignError(f"conversion_rates {problem}.", details=[{"field": "conversion_rates", "message": problem}])
