"""What members see of their points, under the names that the rewards API has."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from guerdon.kit.api import AtomicText, SnakeWire


class BalanceView(SnakeWire):
    """An account's points of one asset. available = earned - reversed - claimed - spent - expired - held."""

    account_id: UUID
    brand_id: str
    asset: str
    decimals: int
    earned_points: Annotated[AtomicText, Field(description="Ever; this never falls.")]
    claimed_points: Annotated[AtomicText, Field(description="Delivered as tokens.")]
    available_points: Annotated[AtomicText, Field(description="May be claimed now.")]
    held_points: Annotated[
        AtomicText, Field(description="Neither available nor gone: not final yet, under review, or in a claim under way.")
    ]
    reversed_points: Annotated[AtomicText, Field(description="Taken back, because what earned them was.")]
    spent_points: AtomicText
    expired_points: AtomicText
    debt_points: Annotated[
        AtomicText, Field(description="Owed: what is earned next repays it first; nothing is claimed meanwhile.")
    ]
    tier: Annotated[str, Field(description="By settled volume, in all assets.")]
    next_tier: Annotated[str | None, Field(description="Null at the top.")]
    volume_micro_usd: Annotated[AtomicText, Field(description="Micro-dollars in the window that makes the tier.")]
    volume_to_next: Annotated[AtomicText, Field(description="Micro-dollars that are missing to the next tier.")]


class AccrualView(SnakeWire):
    """Points that one event or settlement earned, and why."""

    id: UUID
    rewards_account_id: UUID
    transaction_id: Annotated[UUID | None, Field(description="The settlement, where one earned it.")]
    earned_by: Annotated[str, Field(description="An event type; `settlement`; or `campaign`: a share of a pool.")]
    asset: str
    points_earned: AtomicText
    points_reversed: AtomicText
    status: Annotated[
        Literal["booked", "held", "reversed"],
        Field(description="`held`: not available yet, `held_for` says why; `reversed`: all of it was taken back."),
    ]
    held_for: str | None
    held_until: datetime | None
    multiplier_applied: Annotated[float, Field(description="What multipliers of campaigns made of it; 1 where none did.")]
    campaign_id: Annotated[UUID | None, Field(description="The campaign that added to it; the first, if several did.")]
    reasons: Annotated[list[dict[str, Any]], Field(description="Each step of the decision, with a sentence in `text`.")]
    volume_micro_usd: AtomicText | None
    settled_at: datetime | None
    accrued_at: datetime
