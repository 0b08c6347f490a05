"""What settled volume earns under: a program's terms, volume by day, fractions of points, campaigns and their counters.

Amounts of points that have fractions are counted in millionths, volume in micro-dollars.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Points, Scope, Utc, scope


class VolumeTermsRow(Base):
    """What a program lays down for settled volume; a program without a row has the defaults (`earning/volume_terms.py`)."""

    __tablename__ = "volume_terms"
    __table_args__ = (
        ForeignKeyConstraint(["program_id"], ["programs.id"]),
        ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        CheckConstraint("points_per_unit >= 0 and unit_micro_usd > 0", name="rate"),
        CheckConstraint("credit in ('payer', 'payee')", name="credit"),
        CheckConstraint("downgrade in ('drop', 'one_step')", name="downgrade"),
        CheckConstraint("least(backdate_days, holding_seconds, min_volume_micro_usd, grace_days, warn_days) >= 0", name="times"),
        CheckConstraint("window_days > 0", name="window_days"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID]
    points_per_unit: Mapped[Points]
    unit_micro_usd: Mapped[int]
    credit: Mapped[str]
    backdate_days: Mapped[int]
    holding_seconds: Mapped[int]
    min_volume_micro_usd: Mapped[int]
    tiers: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """`[{"name": "silver", "volume_micro_usd": "1000000000", "multiplier": "1.1"}]`, by volume."""
    window_days: Mapped[int]
    grace_days: Mapped[int]
    downgrade: Mapped[str]
    cap_account: Mapped[Points | None]
    """Points a day of one account; null: no cap. So with the two below."""
    cap_payer: Mapped[Points | None]
    cap_program: Mapped[Points | None]
    expire_after_days: Mapped[int | None]
    expire_idle_days: Mapped[int | None]
    warn_days: Mapped[int]
    version: Mapped[int] = mapped_column(server_default="1")
    updated_at: Mapped[Utc]


class AccountVolume(Base):
    """What was settled for an account on one day of the chain's time: that day's, never a running total."""

    __tablename__ = "account_volumes"
    __table_args__ = (
        CheckConstraint("volume_micro_usd >= 0 and settlements >= 0", name="not_negative"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    volume_micro_usd: Mapped[int]
    settlements: Mapped[int]


class PointFraction(Base):
    """What an account has of a whole point; a reversal may leave it below zero, or above: the next settlement evens it."""

    __tablename__ = "point_fractions"
    __table_args__ = (scope(Scope.TENANT),)

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID] = mapped_column(primary_key=True)
    millionths: Mapped[Atomic]


class VolumeCap(Base):
    """How much of a program's cap of a day is used: `program`, `account/…` or `payer/…`, in millionths of a point."""

    __tablename__ = "volume_caps"
    __table_args__ = (CheckConstraint("used >= 0", name="used"), scope(Scope.TENANT))

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[Atomic]


class CampaignRow(Base):
    """A campaign as it stands; what it says of a settlement is the version of that time."""

    __tablename__ = "campaigns"
    __table_args__ = (
        ForeignKeyConstraint(["program_id"], ["programs.id"]),
        CheckConstraint("type in ('multiplier', 'bonus', 'threshold', 'pool')", name="type"),
        CheckConstraint("state in ('draft', 'published', 'paused', 'ended')", name="state"),
        CheckConstraint("start_at < end_at", name="dates"),
        CheckConstraint("(state = 'draft') = (version = 0)", name="version"),
        Index("ix_campaigns_to_freeze", "program_id", "end_at", postgresql_where=text("type = 'pool' and paid_at is null")),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    type: Mapped[str]
    facilitator_id: Mapped[str | None]
    """One source only: its id, or what its facilitator calls itself; null: the whole program."""
    config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    start_at: Mapped[Utc]
    end_at: Mapped[Utc]
    state: Mapped[str]
    version: Mapped[int]
    """0 for a draft."""
    frozen_at: Mapped[Utc | None]
    """When its pool was shared out."""
    paid_at: Mapped[Utc | None]
    """When every share was booked."""
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class CampaignVersion(Base):
    """What a campaign says of settlements from `effective_from` on, until its next version."""

    __tablename__ = "campaign_versions"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "campaign_id"], ["campaigns.program_id", "campaigns.id"]),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    facilitator_id: Mapped[str | None]
    config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    start_at: Mapped[Utc]
    end_at: Mapped[Utc]
    effective_from: Mapped[Utc]


class CampaignCounter(Base):
    """What a campaign has cost, and whom it paid; the row serialises all who draw on it (SAFETY S10)."""

    __tablename__ = "campaign_counters"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "campaign_id"], ["campaigns.program_id", "campaigns.id"]),
        CheckConstraint("spent >= 0 and participants >= 0", name="not_negative"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    spent: Mapped[Atomic] = mapped_column(server_default="0")
    """In millionths; of a pool: its shares."""
    participants: Mapped[int] = mapped_column(server_default="0")


class CampaignAccount(Base):
    """One account in one campaign."""

    __tablename__ = "campaign_accounts"
    __table_args__ = (
        CheckConstraint("least(spent, volume_micro_usd, settlements, weight) >= 0", name="not_negative"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    spent: Mapped[Atomic]
    volume_micro_usd: Mapped[Atomic]
    settlements: Mapped[int]
    weight: Mapped[Atomic]
    """Of a pool: volume times multipliers, both in ten-thousandths."""
    joined: Mapped[bool]
    """Whether it has one of the campaign's places."""
    reached: Mapped[dict[str, str]] = mapped_column(JSONB)
    """Milestones, with the settlement that each was paid with."""


class CampaignPayer(Base):
    """What one payer's payments have brought in one campaign, in millionths."""

    __tablename__ = "campaign_payers"
    __table_args__ = (CheckConstraint("spent >= 0", name="spent"), scope(Scope.TENANT))

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    payer: Mapped[str] = mapped_column(primary_key=True)
    spent: Mapped[Atomic]


class PoolShare(Base):
    """An account's share of a frozen pool; its accrual has the same id."""

    __tablename__ = "pool_shares"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "campaign_id"], ["campaigns.program_id", "campaigns.id"]),
        CheckConstraint("points > 0", name="points"),
        Index("ix_pool_shares_unpaid", "program_id", "campaign_id", "account_id", postgresql_where=text("paid_at is null")),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    points: Mapped[Points]
    weight: Mapped[Atomic]
    paid_at: Mapped[Utc | None]


class ExpiryWarning(Base):
    """Whom it was said on a day that points will expire: what `warn_days` later may be taken."""

    __tablename__ = "expiry_warnings"
    __table_args__ = (CheckConstraint("basis in ('age', 'idle')", name="basis"), scope(Scope.TENANT))

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID] = mapped_column(primary_key=True)
    basis: Mapped[str] = mapped_column(primary_key=True)
    warned_on: Mapped[date] = mapped_column(primary_key=True)
    cutoff: Mapped[Utc]
    """Lots earned up to then were meant."""
    points: Mapped[Points]
