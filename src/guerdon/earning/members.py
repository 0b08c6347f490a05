"""What members see of their points: balance and history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from guerdon.earning import repository_members
from guerdon.earning.models import Accrual
from guerdon.earning.schemas_members import AccrualView, BalanceView
from guerdon.earning.service_volume import standing_of
from guerdon.earning.volume_terms import HELD, UNDONE, CampaignType
from guerdon.kit.database import ScopedSession
from guerdon.kit.ids import parse_uuid
from guerdon.ledger.models import Asset
from guerdon.ledger.repository import account_balance
from guerdon.programs.models import Program
from guerdon.programs.repository import asset_symbols
from guerdon.programs.service import asset_of

SETTLEMENT: Final = "settlement"
"""`earned_by` of what a settlement earned."""
_GAINED: Final = frozenset({"rate", "tier", "cap"})
"""Kinds of reasons whose points make what multipliers are of."""


async def balance_view(
    session: ScopedSession, program: Program, account_id: UUID, symbol: str | None, now: datetime
) -> BalanceView:
    """An account's points of the asset of that symbol, else of what settled volume earns here, else of the program's own.

    Raises `AssetNotFoundError`.
    """
    asset = await _asset(session, program, symbol)
    found = await account_balance(session, program.id, asset.id, account_id)
    buckets = ("earned", "claimed", "available", "held", "reversed", "spent", "expired", "debt")
    points = {f"{bucket}_points": 0 if found is None else getattr(found, bucket) for bucket in buckets}
    stands = await standing_of(session, program.id, account_id, now)
    return BalanceView(
        account_id=account_id,
        brand_id=program.brand_id,
        asset=asset.symbol,
        decimals=asset.decimals,
        tier=stands.tier.name,
        next_tier=None if stands.next_tier is None else stands.next_tier.name,
        volume_micro_usd=stands.volume_micro_usd,
        volume_to_next=stands.volume_to_next,
        **points,
    )


async def _asset(session: ScopedSession, program: Program, symbol: str | None) -> Asset:
    if symbol is not None:
        return await asset_of(session, symbol)
    asset_id = await repository_members.asset_of_volume(session, program.id) or program.asset_id
    return await session.get_one(Asset, asset_id)


async def accrual_views(session: ScopedSession, accruals: Sequence[Accrual]) -> list[AccrualView]:
    """Accruals as they are shown."""
    symbols = await asset_symbols(session, {accrual.asset_id for accrual in accruals})
    return [_accrual_view(accrual, symbols[accrual.asset_id]) for accrual in accruals]


def _accrual_view(accrual: Accrual, symbol: str) -> AccrualView:
    held = accrual.held_for in HELD
    is_reversed = accrual.held_for in UNDONE or (accrual.points > 0 and accrual.reversed == accrual.points)
    return AccrualView(
        id=accrual.id,
        rewards_account_id=accrual.account_id,
        transaction_id=accrual.id if accrual.earned_by == SETTLEMENT else None,
        earned_by=accrual.earned_by,
        asset=symbol,
        points_earned=accrual.points,
        points_reversed=accrual.reversed,
        status="reversed" if is_reversed else "held" if held else "booked",
        held_for=accrual.held_for,
        held_until=accrual.held_until,
        multiplier_applied=_multiplier(accrual.reasons),
        campaign_id=_campaign(accrual.reasons),
        reasons=accrual.reasons,
        volume_micro_usd=accrual.volume_micro_usd,
        settled_at=accrual.settled_at,
        accrued_at=accrual.accrued_at,
    )


def _campaign(reasons: Sequence[dict[str, Any]]) -> UUID | None:
    """The first campaign among the reasons."""
    return next((parse_uuid(reason["campaign"]) for reason in reasons if reason.get("kind") in {"campaign", "pool"}), None)


def _multiplier(reasons: Sequence[dict[str, Any]]) -> float:
    """For the reader: how many times its base points it became by multipliers; the points themselves are counted exactly."""
    base = sum(Decimal(str(reason["points"])) for reason in reasons if reason.get("kind") in _GAINED)
    more = sum(Decimal(str(reason["points"])) for reason in reasons if reason.get("type") == CampaignType.MULTIPLIER)
    return float(round(1 + more / base, 4)) if base else 1.0
