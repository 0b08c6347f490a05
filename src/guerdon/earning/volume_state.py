"""What a decision about settled volume depends on, as loaded, and how a decision moves it on. Pure.

`changed` collects what has to be written: sums over the batch, by key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from guerdon.earning.volume_terms import Campaign, Held, Settled

CampaignAccountKey = tuple[UUID, UUID]
"""(campaign, account)."""
PayerKey = tuple[UUID, str]
"""(campaign, payer)."""
Counted = tuple[int, int]
"""(volume in micro-dollars, number of settlements)."""
DayKey = tuple[date, str]
"""(day, whose): `program`, `account/…`, `payer/…`."""


@dataclass(slots=True)
class Spending:
    """What a campaign has cost (millionths), and how many accounts it paid, or counts for its pool."""

    spent: int = 0
    participants: int = 0


@dataclass(slots=True)
class Participation:
    """One account in one campaign. `reached`: milestones, with the settlement that each was paid with."""

    spent: int = 0
    volume_micro_usd: int = 0
    settlements: int = 0
    weight: int = 0
    joined: bool = False
    reached: dict[str, UUID] = field(default_factory=dict[str, UUID])
    in_review: Counted = (0, 0)
    """Of these (volume, settlements) those that wait for an operator. Of accruals, and not kept here."""

    def before(self, settled: Settled) -> Counted:
        """What counts when this settlement is decided.

        What waits for a review counts for nothing that does not wait itself: it would be given out before anybody has looked.
        """
        volume, settlements = self.in_review if settled.review is None else (0, 0)
        return self.volume_micro_usd - volume, self.settlements - settlements


class CampaignUse(msgspec.Struct, frozen=True):
    """What one settlement took of one campaign: `millionths` of a point, a place among its participants, milestones, weight."""

    campaign_id: UUID
    version: int
    millionths: int = 0
    joins: bool = False
    milestones: tuple[tuple[str, int], ...] = ()
    """(milestone, points)."""
    weight: int = 0


class SettlementEarned(msgspec.Struct, frozen=True):
    """The settlement is credited: `points` whole ones now, out of `millionths` and what the account had of a fraction."""

    points: int
    millionths: int
    fraction: int
    """What the account then has of a whole point."""
    held_for: Held | None
    held_until: datetime | None
    reasons: tuple[dict[str, Any], ...]
    uses: tuple[CampaignUse, ...]
    capped: tuple[tuple[str, int], ...]
    """(whose, millionths) of the day's caps."""


class NothingEarned(msgspec.Struct, frozen=True):
    """The settlement is not credited and leaves no trace. `waits`: decided anew later, it may be."""

    reason: str
    waits: bool = False


@dataclass(slots=True)
class VolumeState:
    """What is known of the accounts, campaigns and caps of a batch."""

    campaigns: tuple[Campaign, ...] = ()
    """By id: the order in which they apply."""
    volumes: dict[UUID, dict[date, int]] = field(default_factory=dict[UUID, dict[date, int]])
    """By account and day, without what waits for a review."""
    fractions: dict[UUID, int] = field(default_factory=dict[UUID, int])
    spending: dict[UUID, Spending] = field(default_factory=dict[UUID, Spending])
    participations: dict[CampaignAccountKey, Participation] = field(default_factory=dict[CampaignAccountKey, Participation])
    payers: dict[PayerKey, int] = field(default_factory=dict[PayerKey, int])
    days: dict[DayKey, int] = field(default_factory=dict[DayKey, int])
    """Millionths that count for the caps of a day."""
    funds: int = 0
    """Points that the program can still give."""
    settled: dict[tuple[UUID, date], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """What this batch adds to an account's day: volume, number of settlements."""

    def participation(self, campaign_id: UUID, account_id: UUID) -> Participation:
        """An account's part in a campaign; a new one that is not kept where it has none."""
        return self.participations.get((campaign_id, account_id)) or Participation()

    def volumes_of(self, account_id: UUID) -> Mapping[date, int]:
        """An account's volume by day."""
        return self.volumes.get(account_id, {})
