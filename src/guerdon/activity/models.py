"""What was reported: events, the keys that make repeats harmless, and reversals."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Base, Points, Scope, Utc, scope


class Event(Base):
    """One accepted report of an action. What it earned is the accrual of the same id."""

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("trust in ('server', 'browser', 'member', 'operator')", name="trust"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    identity: Mapped[str]
    event_type: Mapped[str]
    trust: Mapped[str]
    domain: Mapped[str | None]
    channel: Mapped[str | None]
    source_url: Mapped[str | None]
    client_address: Mapped[str | None]
    """The reporting browser's address (IPv6 by /64); null for servers."""
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB)
    received_at: Mapped[Utc]


class EventKey(Base):
    """Why a report is a repeat: the hash of an idempotency key in its scope, or of a signature (SAFETY S11, S12)."""

    __tablename__ = "event_keys"
    __table_args__ = (scope(Scope.TENANT),)

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    body_hash: Mapped[bytes]
    operation: Mapped[str]


class Reversal(Base):
    """A reward taken back, whole or in part, with what could be taken and from where."""

    __tablename__ = "reversals"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "event_id"], ["events.program_id", "events.id"]),
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("points = from_pending + from_available + as_debt + written_off", name="adds_up"),
        Index("ix_reversals_event", "program_id", "event_id"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    account_id: Mapped[UUID]
    points: Mapped[Points]
    from_pending: Mapped[Points]
    from_available: Mapped[Points]
    as_debt: Mapped[Points]
    written_off: Mapped[Points]
    reason: Mapped[str]
    reversed_at: Mapped[Utc]
