"""The outbox: whatever happened, appended in the transaction that made it happen; alerts are its rows with a severity.

Delivering rows to webhooks and mail belongs to notices; here they are only written, listed and resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, Text, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.ids import uuid7
from guerdon.kit.models import Base, Id, Scope, Utc, scope


class Severity(StrEnum):
    """How soon an operator should look: at leisure, today, now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class OutboxRow(Base):
    """Something that happened. With a severity it is an alert, open until `resolved_at` is set."""

    __tablename__ = "outbox"

    id: Mapped[Id] = mapped_column(primary_key=True)
    program_id: Mapped[Id | None]
    kind: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    severity: Mapped[str | None] = mapped_column(Text)
    dedupe_key: Mapped[str | None] = mapped_column(Text)
    occurrences: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_at: Mapped[Utc] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[Utc] = mapped_column(server_default=func.now())
    resolved_at: Mapped[Utc | None]

    __table_args__ = (
        CheckConstraint("severity in ('info', 'warning', 'critical')", name="severity"),
        # One open alert for each kind and key: a condition seen again counts up the same row.
        Index(
            "uq_outbox_open_alert",
            "kind",
            "dedupe_key",
            unique=True,
            postgresql_where=text("severity is not null and resolved_at is null"),
        ),
        scope(Scope.SHARED),
    )
