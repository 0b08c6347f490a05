"""What a decision about settled volume is about: one settlement, the program's terms, tiers and campaigns. No logic but reading.

Points are counted in millionths here, volume in micro-dollars, multipliers in ten-thousandths: all integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

MILLION: Final = 1_000_000
"""Millionths of a point, and micro-dollars of a dollar."""
SCALE: Final = 10_000
"""A multiplier of 1: decimals with at most 4 places are whole numbers of ten-thousandths."""
LARGEST_MULTIPLIER: Final = 1_000 * SCALE
LARGEST_VOLUME: Final = 10**15
"""Micro-dollars of one settlement: a billion dollars. What claims more was valued wrongly, and earns nothing."""


class Credit(StrEnum):
    """Whose account a settlement is credited to."""

    PAYER = "payer"
    PAYEE = "payee"


class Downgrade(StrEnum):
    """What becomes of a tier after its grace, once volume has fallen below it."""

    DROP = "drop"
    """The tier of the volume there is."""
    ONE_STEP = "one_step"
    """One tier lower, and one more after each further period of grace (a day where there is none)."""


class CampaignType(StrEnum):
    """What a campaign does."""

    MULTIPLIER = "multiplier"
    BONUS = "bonus"
    THRESHOLD = "threshold"
    POOL = "pool"


class CampaignState(StrEnum):
    """Where a campaign stands. It is active while it is published and within its dates."""

    DRAFT = "draft"
    PUBLISHED = "published"
    PAUSED = "paused"
    ENDED = "ended"


class Stacking(StrEnum):
    """How a multiplier goes together with others that apply to the same settlement."""

    BEST = "best"
    """Of all of these only the one that gives most applies."""
    ADD = "add"
    """What it adds is added: 2 and 3 make 4."""
    MULTIPLY = "multiply"
    """It multiplies what the others made: 2 and 3 make 6."""


class Held(StrEnum):
    """Why points of an accrual are not available, or, for the last two, that they were taken back."""

    FINALITY = "finality"
    HOLDING = "holding"
    REVIEW = "review"
    REJECTED = "rejected"
    REORGANISED = "reorganised"


HELD: Final = (Held.FINALITY, Held.HOLDING, Held.REVIEW)
"""The accrual's points are in `held`."""
UNDONE: Final = (Held.REJECTED, Held.REORGANISED)
"""The accrual counts for nothing any more."""


@dataclass(frozen=True, slots=True)
class Tier:
    """From `volume_micro_usd` on, base points are multiplied."""

    name: str
    volume_micro_usd: int
    multiplier: int = SCALE


DEFAULT_TIERS: Final = (
    Tier("bronze", 0),
    Tier("silver", 1_000 * MILLION, 11_000),
    Tier("gold", 10_000 * MILLION, 12_500),
    Tier("platinum", 100_000 * MILLION, 15_000),
)


@dataclass(frozen=True, slots=True)
class VolumeTerms:
    """What a program lays down for settled volume. Caps are points a day of the chain's time; None: no cap."""

    asset_id: UUID
    points_per_unit: int = 1
    unit_micro_usd: int = 10_000
    credit: Credit = Credit.PAYER
    backdate_days: int = 0
    holding_seconds: int = 0
    min_volume_micro_usd: int = 0
    """A smaller settlement earns nothing and counts for nothing."""
    tiers: tuple[Tier, ...] = DEFAULT_TIERS
    """By volume; the first begins at 0."""
    window_days: int = 90
    grace_days: int = 0
    downgrade: Downgrade = Downgrade.DROP
    cap_account: int | None = None
    cap_payer: int | None = None
    cap_program: int | None = None
    expire_after_days: int | None = None
    expire_idle_days: int | None = None
    warn_days: int = 0
    version: int = 1
    delivery: str = "on_claim"


@dataclass(frozen=True, slots=True)
class Milestone:
    """`points` once for an account's volume, or number of settlements, in the campaign. `key` names it for ever."""

    key: str
    points: int
    volume: int | None = None
    count: int | None = None

    def is_reached(self, volume: int, settlements: int) -> bool:
        """Whether an account with that much is there."""
        return is_reached(self.key, volume, settlements)


def is_reached(key: str, volume: int, settlements: int) -> bool:
    """Whether an account with that much has reached the milestone `count:…` or `volume:…`."""
    what, _, least = key.partition(":")
    return (settlements if what == "count" else volume) >= int(least)


@dataclass(frozen=True, slots=True)
class CampaignTerms:
    """One version of a campaign: what it says of settlements from `effective_from` on, by the chain's time."""

    campaign_id: UUID
    version: int
    name: str
    type: CampaignType
    state: CampaignState
    effective_from: datetime
    start_at: datetime
    end_at: datetime
    facilitator_id: str | None = None
    """Of one source only: its id, or what its facilitator calls itself."""
    multiplier: int | None = None
    stacking: Stacking = Stacking.BEST
    milestones: tuple[Milestone, ...] = ()
    threshold_volume: int | None = None
    """Multiplier: an account's volume in the campaign before it applies. Pool: the least volume that has a share."""
    budget: int | None = None
    """Points that it may cost; what an account or payer may get of them is below."""
    max_participants: int | None = None
    account_cap: int | None = None
    payer_cap: int | None = None
    pool_points: int | None = None
    tier_multipliers: bool = True
    """Pool: whether volume weighs as much as the account's tier multiplies."""
    boosts: tuple[tuple[str, int], ...] = ()
    """Pool: (facilitator, multiplier): volume that came through it weighs more; nothing else of the account does."""

    def covers(self, settled: Settled) -> bool:
        """Whether it is active for this settlement, at the time of its block."""
        return (
            self.state is CampaignState.PUBLISHED
            and self.start_at <= settled.settled_at < self.end_at
            and (self.facilitator_id is None or self.facilitator_id in settled.named)
        )


@dataclass(frozen=True, slots=True)
class Campaign:
    """All versions of a campaign, oldest first. Frozen: its pool is shared out, nothing counts any more."""

    id: UUID
    versions: tuple[CampaignTerms, ...]
    frozen: bool = False

    def at(self, moment: datetime) -> CampaignTerms | None:
        """The version of that time; None before it was published."""
        known: CampaignTerms | None = None
        for version in self.versions:
            if version.effective_from <= moment:
                known = version
        return known


class Settled(msgspec.Struct, frozen=True):
    """One settled payment of an account, proven on chain. Its id is the accrual's, for ever."""

    id: UUID
    account_id: UUID
    payer: str
    """`eip155:0x…` or `solana:…`: whom caps by payer count."""
    volume_micro_usd: int
    settled_at: datetime
    """The time of its block."""
    source_id: UUID | None = None
    facilitator_id: str | None = None
    is_final: bool = False
    review: str | None = None
    """Why an operator has to look at it first."""

    @property
    def named(self) -> tuple[str, ...]:
        """How a campaign may name its source."""
        return tuple(name for name in (None if self.source_id is None else str(self.source_id), self.facilitator_id) if name)


def multiplier_of(value: object) -> int:
    """Ten-thousandths of a decimal with at most 4 places: `2`, `1.25`, `"1.0001"`. `ValueError` tells what is wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("a multiplier is a decimal such as 1.25")  # noqa: TRY004 - pydantic makes a 400 of it
    try:
        # A number of JSON arrives as a float: its shortest writing is what was written.
        exact = Decimal(str(value)) * SCALE
    except InvalidOperation:
        raise ValueError("a multiplier is a decimal such as 1.25") from None
    if not exact.is_finite() or exact != exact.to_integral_value():
        raise ValueError("a multiplier has at most 4 decimal places")
    if not 0 < exact <= LARGEST_MULTIPLIER:
        raise ValueError(f"a multiplier is above 0 and at most {LARGEST_MULTIPLIER // SCALE}")
    return int(exact)


def multiplier_text(multiplier: int) -> str:
    """As people write it: `1.25`."""
    return decimal_text(multiplier, SCALE)


def points_text(millionths: int) -> str:
    """Points with their fraction: `0.1`."""
    return decimal_text(millionths, MILLION)


def dollars_text(micro_usd: int) -> str:
    """Dollars: `0.001`."""
    return decimal_text(micro_usd, MILLION)


def decimal_text(amount: int, unit: int) -> str:
    """`amount / unit` without trailing zeros; `unit` is a power of ten."""
    sign, places = "-" if amount < 0 else "", len(str(unit)) - 1
    whole, rest = divmod(abs(amount), unit)
    return f"{sign}{whole}.{rest:0{places}d}".rstrip("0") if rest else f"{sign}{whole}"


def lookback_days(terms: VolumeTerms) -> int:
    """How many days before a day may have a say in its tier."""
    steps = len(terms.tiers) - 1 if terms.downgrade is Downgrade.ONE_STEP else 0
    return terms.window_days + terms.grace_days + max(terms.grace_days, 1) * steps


def named_campaigns(campaigns: Sequence[Campaign]) -> tuple[UUID, ...]:
    """Their ids, in the order in which they apply and are locked."""
    return tuple(sorted(campaign.id for campaign in campaigns))
