"""What claims look like over the wire: the rewards program's names, points and tokens as decimal strings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from guerdon.kit.api import AtomicText, Line, SnakeWire, Wire
from guerdon.kit.money import LARGEST_JSON_INTEGER, LARGEST_POINTS, parse_amount, to_wire
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts.claims.decision import Offer
from guerdon.payouts.claims.models import Claim
from guerdon.payouts.schemas import public_state
from guerdon.txmanager.schemas_options import whole_tokens

Status = Literal["pending", "processing", "completed", "failed"]

_ENDED = frozenset({DeliveryState.CONFIRMED, DeliveryState.FINAL, DeliveryState.REFUSED, DeliveryState.RETURNED})


def _points(value: object) -> int:
    return parse_amount(value, largest=LARGEST_POINTS, smallest=1)


PointsInput = Annotated[
    int,
    BeforeValidator(_points),
    PlainSerializer(to_wire, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
                {"type": "integer", "minimum": 1, "maximum": LARGEST_JSON_INTEGER},
            ]
        }
    ),
]
"""Points as they are given: a decimal string, or a number up to 2^53 (DESIGN section 4)."""
PointsText = AtomicText
"""Points as they are shown: a decimal string."""


class NewClaim(SnakeWire):
    """Points to be turned into tokens. Without `network` and `token_mint`: the default for the destination's kind of chain."""

    points_claimed: PointsInput
    destination_address: Annotated[
        Line, Field(min_length=1, max_length=100, description="One of the account's proven addresses.")
    ]
    network: Annotated[Line | None, Field(max_length=60, description="By name or CAIP-2 id.")] = None
    token_mint: Annotated[Line | None, Field(max_length=100, description="The token's address.")] = None


class ClaimView(SnakeWire):
    """A claim. `points_claimed` are debited: of `points_requested`, those that convert into whole units of the token."""

    id: UUID
    rewards_account_id: UUID
    points_claimed: PointsText
    points_requested: PointsText
    token_amount: Annotated[AtomicText, Field(description="In the token's smallest unit; fixed.")]
    campaign_id: Annotated[UUID | None, Field(description="Whose rate it was made at; null: the usual one.")]
    token_mint: str
    network: str
    destination_address: str
    status: Status
    final: Annotated[bool, Field(description="The chain can't take it back any more.")]
    transaction_hash: str | None
    error_message: str | None
    created_at: datetime
    processed_at: datetime | None


class OfferedOption(SnakeWire):
    """A token that the program's points are paid in."""

    network: str
    namespace: str
    token_mint: str
    token_decimals: int
    points: Annotated[PointsText, Field(description="So many points …")]
    token_amount: Annotated[AtomicText, Field(description="… are so much of the token's smallest unit, rounded down.")]
    tokens_for_a_thousand_points: str
    campaign_id: Annotated[UUID | None, Field(description="Whose rate this is; null: the usual one.")]
    rate_until: Annotated[datetime | None, Field(description="When that campaign ends; it may be paused or ended before.")]
    min_points: PointsText
    max_points: PointsText | None
    is_default: bool


class OfferedOptions(SnakeWire):
    """What the program's points are paid in."""

    options: list[OfferedOption]


class AdminClaimView(Wire):
    """A claim as operators see it; `state` is its payout's."""

    id: UUID
    account_id: UUID
    state: DeliveryState
    status: Status
    final: bool
    points: PointsText
    points_requested: PointsText
    amount_atomic: AtomicText
    rate: Annotated[str, Field(description="Atomic units over points, as it was when the claim was made.")]
    campaign_id: Annotated[UUID | None, Field(description="Whose rate it was; null: the payout option's.")]
    token_address: str
    network: str
    destination: str
    reason: str | None
    review_reason: str | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    review_note: str | None
    transaction_hash: str | None
    created_at: datetime
    updated_at: datetime


class ReviewInput(Wire):
    """Why a claim is approved or refused; it is kept with the claim, and a refusal's is shown to the member."""

    reason: Annotated[Line, Field(min_length=1)]


def claim_view(claim: Claim, delivery: Delivery) -> ClaimView:
    """A claim as its member sees it."""
    state = DeliveryState(delivery.state)
    status = public_state(state)
    return ClaimView(
        id=claim.id,
        rewards_account_id=claim.account_id,
        points_claimed=delivery.points,
        points_requested=claim.points_requested,
        token_amount=delivery.amount_atomic or 0,
        campaign_id=claim.campaign_id,
        token_mint=claim.token_address,
        network=claim.network,
        destination_address=delivery.destination or "",
        status=status,
        final=state is DeliveryState.FINAL,
        transaction_hash=delivery.transaction_hash,
        error_message=delivery.reason if status == "failed" else None,
        created_at=claim.created_at,
        processed_at=delivery.updated_at if state in _ENDED else None,
    )


def admin_claim_view(claim: Claim, delivery: Delivery) -> AdminClaimView:
    """A claim as operators see it."""
    state = DeliveryState(delivery.state)
    return AdminClaimView(
        id=claim.id,
        account_id=claim.account_id,
        state=state,
        status=public_state(state),
        final=state is DeliveryState.FINAL,
        points=delivery.points,
        points_requested=claim.points_requested,
        amount_atomic=delivery.amount_atomic or 0,
        rate=str(claim.rate),
        campaign_id=claim.campaign_id,
        token_address=claim.token_address,
        network=claim.network,
        destination=delivery.destination or "",
        reason=delivery.reason,
        review_reason=claim.review_reason,
        reviewed_by=claim.reviewed_by,
        reviewed_at=claim.reviewed_at,
        review_note=claim.review_note,
        transaction_hash=delivery.transaction_hash,
        created_at=claim.created_at,
        updated_at=delivery.updated_at,
    )


def offered_option(offer: Offer) -> OfferedOption:
    """A payout option as members see it."""
    option, rate, campaign = offer.option, offer.rate, offer.campaign
    return OfferedOption(
        network=option.network,
        namespace=option.namespace,
        token_mint=option.token_address,
        token_decimals=option.token_decimals,
        points=rate.points_denominator,
        token_amount=rate.atomic_numerator,
        tokens_for_a_thousand_points=whole_tokens(rate.atomic(1000), option.token_decimals),
        campaign_id=None if campaign is None else campaign.campaign_id,
        rate_until=None if campaign is None else campaign.ends_at,
        min_points=max(option.min_points, offer.least),
        max_points=option.max_points,
        is_default=option.is_default,
    )
