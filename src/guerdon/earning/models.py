"""What earns, what was earned and why, and the counters that limits are checked against."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from guerdon.kit.models import Atomic, Base, Points, Scope, Utc, scope


class Rule(Base):
    """What an event type earns in a program, for whom, and how often."""

    __tablename__ = "rules"
    __table_args__ = (
        ForeignKeyConstraint(["program_id"], ["programs.id"]),
        ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        CheckConstraint("event_type ~ '^[A-Za-z0-9_]{1,50}$'", name="event_type"),
        CheckConstraint("reward >= 0", name="reward"),
        CheckConstraint("(unit_field is null) = (unit_size is null) and (unit_size is null or unit_size > 0)", name="unit"),
        CheckConstraint("max_claims_per_user = -1 or max_claims_per_user > 0", name="max_claims_per_user"),
        CheckConstraint("max_claims_total = -1 or max_claims_total > 0", name="max_claims_total"),
        CheckConstraint("cooldown_hours >= 0", name="cooldown_hours"),
        CheckConstraint("unit_field is null or not open_to_browsers", name="no_amount_from_browsers"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_type: Mapped[str] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID]
    name: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    reward: Mapped[Points]
    """Fixed: points an event. Per unit: points for each `unit_size` of the integer `metadata[unit_field]`, rounded down."""
    unit_field: Mapped[str | None]
    unit_size: Mapped[int | None]
    unit_min: Mapped[int | None]
    """A smaller value of the field earns nothing."""
    unit_max: Mapped[int | None]
    """A larger value of the field counts as this."""
    max_claims_per_user: Mapped[int]
    """-1: unlimited."""
    max_claims_total: Mapped[int]
    cooldown_hours: Mapped[int]
    enabled: Mapped[bool]
    open_to_browsers: Mapped[bool]
    requires_email: Mapped[bool]
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    """Where not empty, a report must name one of them."""
    detection: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    """How the SDK detects it: `[{"method": …, "config": {…}}]`."""
    daily_cap_account: Mapped[Points | None]
    daily_cap_ip: Mapped[Points | None]
    daily_cap_program: Mapped[Points | None]
    is_custom: Mapped[bool]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class ClaimCounter(Base):
    """How often and when last an account was rewarded for an event type; the row serialises them (SAFETY S10)."""

    __tablename__ = "claim_counters"
    __table_args__ = (CheckConstraint("claims > 0", name="claims"), scope(Scope.TENANT))

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_type: Mapped[str] = mapped_column(primary_key=True)
    claims: Mapped[int]
    last_at: Mapped[Utc]


class CapCounter(Base):
    """How much of a cap is used: points of a day, or claims of a rule in all. `cap_key` names it (`earning/caps.py`)."""

    __tablename__ = "cap_counters"
    __table_args__ = (
        CheckConstraint("used >= 0", name="used"),
        Index("ix_cap_counters_day", "program_id", "day", postgresql_where=text("day is not null")),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    cap_key: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date | None]
    used: Mapped[Points]


class Accrual(Base):
    """Points earned by one event or settlement, with the reasons; its id is that of what earned it."""

    __tablename__ = "accruals"
    __table_args__ = (
        CheckConstraint("points >= 0", name="points"),
        CheckConstraint("reversed between 0 and points", name="reversed"),
        CheckConstraint("held_for in ('finality', 'holding', 'review', 'rejected', 'reorganised')", name="held_for"),
        Index("ix_accruals_account", "program_id", "account_id", "id"),
        Index(
            "ix_accruals_held",
            "program_id",
            "held_for",
            "held_until",
            postgresql_where=text("held_for in ('finality', 'holding', 'review')"),
        ),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    asset_id: Mapped[UUID]
    earned_by: Mapped[str]
    """The event type of the rule; `settlement`, or `campaign` for a share of a pool."""
    points: Mapped[Points]
    reversed: Mapped[Points] = mapped_column(server_default="0")
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """Each step of the decision: `[{"rule": …, "version": 3, "points": 100}]`."""
    delivery_id: Mapped[UUID | None]
    accrued_at: Mapped[Utc]
    millionths: Mapped[Atomic | None]
    """Of a settlement: what it earned with its fraction; what of that is whole is `points`, with what was carried."""
    volume_micro_usd: Mapped[int | None]
    settled_at: Mapped[Utc | None]
    """The time of the settlement's block."""
    counted: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """What the settlement took of campaigns and caps, to be given back should it be undone."""
    held_for: Mapped[str | None]
    """Why its points are not available yet (`earning.volume_terms.Held`), or that they were taken back."""
    held_until: Mapped[Utc | None]
    """The end of the program's holding time; of what was held and is available, when it became so."""
    final_at: Mapped[Utc | None]
    """When its settlement was known to be final."""
