"""What campaigns look like over the wire, under the seed's names. Every refusal says what would be accepted.

Points and volume are decimal strings; numbers up to 2^53 are accepted. Volume is in micro-dollars. What makes sense together is
checked in `campaigns.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from guerdon.earning.volume_terms import CampaignState, CampaignType, Stacking, multiplier_of, multiplier_text
from guerdon.kit.api import BIGINT_MAX, AtomicInput, Line, Prose, SnakeWire
from guerdon.kit.money import LARGEST_JSON_INTEGER, parse_amount, to_wire
from guerdon.programs.schemas import BrandId

MAX_MILESTONES = 50
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside can be written, but windows and waiting times around them can't be counted."""
MAX_BOOSTS = 100
MAX_RATES = 20


def _positive(value: object) -> int:
    return parse_amount(value, smallest=1)


def _exact(value: object) -> str:
    return multiplier_text(multiplier_of(value))


def _within_reason(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        message = f"a time from {EARLIEST.year} to {LATEST.year} is expected"
        raise ValueError(message)
    return value.astimezone(UTC)


_amount_schema = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
            {"type": "integer", "minimum": 1, "maximum": LARGEST_JSON_INTEGER},
        ]
    },
    mode="validation",
)
_text_schema = WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,78}$", "examples": ["1000"]}, mode="serialization")
Amount = Annotated[int, BeforeValidator(_positive), PlainSerializer(to_wire, return_type=str), _amount_schema, _text_schema]
"""Points or micro-dollars, above zero: a decimal string in answers."""
AmountText = Annotated[int, PlainSerializer(to_wire, return_type=str), _text_schema]
Multiplier = Annotated[
    str,
    BeforeValidator(_exact),
    # A number in answers, as the seed has it: at most 4 decimal places, which every reader shows as they are.
    PlainSerializer(float, return_type=float),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0.0001, "maximum": 1000}, {"type": "string"}]}, mode="validation"),
]
"""A decimal with at most 4 places, as a number or a text."""
Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]
"""A time with its zone, of this century or the next."""
Count = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
FacilitatorId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
"""A source's id, or what its facilitator calls itself."""


class MilestoneConfig(SnakeWire):
    """`bonus_points` once, at so much volume in the campaign, or so many payments."""

    volume: Annotated[Amount | None, Field(description="Micro-dollars.")] = None
    count: Count | None = None
    bonus_points: Amount

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.volume is None) == (self.count is None):
            message = "a milestone has either a volume or a count"
            raise ValueError(message)
        return self


class Boost(SnakeWire):
    """Volume that came through this facilitator weighs more in the pool; no other volume of the account does."""

    facilitator_id: FacilitatorId
    multiplier: Multiplier


class ConversionRate(SnakeWire):
    """So many `points` are claimed as so much of the token's smallest unit, on one network."""

    network: Annotated[Line, Field(min_length=1, max_length=60, description="Of a payout option, by name.")]
    points: Amount
    token_amount: Annotated[AtomicInput, Field(gt=0)]


class CampaignConfig(SnakeWire):
    """What a campaign gives, and within which limits; which fields it needs is a matter of its type."""

    multiplier: Annotated[Multiplier | None, Field(description="Multiplier: above 1.")] = None
    stacking: Annotated[Stacking | None, Field(description="Multiplier: how it goes together with others.")] = None
    bonus_points: Annotated[Amount | None, Field(description="Bonus: for an account's first payment in the campaign.")] = None
    milestones: Annotated[list[MilestoneConfig], Field(max_length=MAX_MILESTONES)] | None = None
    threshold_volume: Annotated[
        Amount | None, Field(description="Micro-dollars. Threshold: earns the points. Multiplier, pool: the least that counts.")
    ] = None
    threshold_points: Annotated[Amount | None, Field(description="Threshold: points at its volume.")] = None
    pool_points: Annotated[Amount | None, Field(description="Pool: what is shared out at its end.")] = None
    tier_multipliers: Annotated[bool | None, Field(description="Pool: whether tiers weigh (they do).")] = None
    boosts: Annotated[list[Boost], Field(max_length=MAX_BOOSTS)] | None = None
    settle_seconds: Annotated[
        int | None, Field(ge=0, le=30 * 86_400, description="Pool: how long after its end it is frozen.")
    ] = None
    conversion_rates: Annotated[
        list[ConversionRate] | None,
        Field(
            max_length=MAX_RATES, description="While it is active claims are made at these, where they are above the usual ones."
        ),
    ] = None
    max_participants: Annotated[Count | None, Field(description="Accounts that it pays.")] = None
    max_budget_points: Annotated[Amount | None, Field(description="Points that it may cost.")] = None
    max_points_per_account: Amount | None = None
    max_points_per_payer: Amount | None = None

    def stored(self) -> dict[str, Any]:
        """As it is kept: what was said, amounts and multipliers as text."""
        said = self.model_dump(mode="json", exclude_none=True)
        if self.multiplier is not None:
            said["multiplier"] = self.multiplier
        for shown, boost in zip(said.get("boosts", ()), self.boosts or (), strict=True):
            shown["multiplier"] = boost.multiplier
        return said


class CampaignFields(SnakeWire):
    """What can be said of a campaign; what is left out keeps its value. `config` is replaced whole."""

    brand_id: Annotated[BrandId | None, Field(description="The program, where neither key nor header names it.")] = None
    facilitator_id: Annotated[FacilitatorId | None, Field(description="One source only; null: the whole program.")] = None
    name: Annotated[Line, Field(min_length=1)] | None = None
    description: Prose | None = None
    config: CampaignConfig | None = None
    start_at: Moment | None = None
    end_at: Moment | None = None
    active: Annotated[bool | None, Field(description="True: publish it, or resume; false: pause.")] = None


class NewCampaign(SnakeWire):
    """A campaign to be made: a draft, unless `active` is true."""

    brand_id: Annotated[BrandId | None, Field(description="The program, where neither key nor header names it.")] = None
    facilitator_id: Annotated[FacilitatorId | None, Field(description="One source only; null: the whole program.")] = None
    name: Annotated[Line, Field(min_length=1)]
    description: Prose = ""
    type: CampaignType
    config: CampaignConfig
    start_at: Moment
    end_at: Moment
    active: Annotated[bool, Field(description="Publish it at once.")] = False


class CampaignFacts(SnakeWire):
    """What everybody may know of a campaign."""

    id: UUID
    facilitator_id: str | None
    name: str
    description: str
    type: CampaignType
    config: CampaignConfig
    start_at: datetime
    end_at: datetime
    active: bool
    """Published, not paused, and within its dates."""


class CampaignView(CampaignFacts):
    """A campaign as its operators see it."""

    state: CampaignState
    version: int
    spent_points: AmountText
    """What it has cost so far, rounded down."""
    participants: int
    frozen_at: datetime | None
    """When its pool was shared out."""
    paid_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SimulationRequest(SnakeWire):
    """The past that a campaign is run over, as if it had been active then; left out: as long as it is to last, up to now."""

    since: Moment | None = None
    until: Moment | None = None


class NewSimulation(SimulationRequest):
    """A draft that was not made, and the past that it is run over."""

    brand_id: Annotated[BrandId | None, Field(description="The program, where neither key nor header names it.")] = None
    campaign: NewCampaign


class SimulatedWinner(SnakeWire):
    """An account that the campaign would have given most."""

    account_id: UUID
    points: AmountText


class SimulatedDay(SnakeWire):
    """What one day would have cost."""

    day: str
    points: AmountText
    settlements: int
    participants: int
    """Accounts that the campaign would have paid for the first time; of a pool: counted for it."""


class SimulationView(SnakeWire):
    """What a campaign would have cost, and whom it would have paid."""

    since: datetime
    until: datetime
    type: CampaignType
    settlements: int
    volume_micro_usd: AmountText
    base_points: AmountText
    """What was earned without it, with tiers."""
    cost_points: AmountText
    participants: int
    winners: list[SimulatedWinner]
    days: list[SimulatedDay]
