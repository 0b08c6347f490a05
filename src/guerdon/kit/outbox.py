"""The outbox: whatever happened, appended in the transaction that made it happen; alerts are its rows with a severity.

Delivering rows to webhooks and mail belongs to notices; here they are only written, listed and resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, Text, func, select, text, update
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
        # Alerts are few among what happened.
        Index("ix_outbox_alerts", "id", postgresql_where=text("severity is not null")),
        Index("ix_outbox_open_alerts", "id", postgresql_where=text("severity is not null and resolved_at is null")),
        scope(Scope.JOINT),
    )


async def append(session: AsyncSession, kind: str, payload: Mapping[str, Any], *, program_id: UUID | None = None) -> UUID:
    """Record that something happened, in the caller's transaction. `kind` is `noun.past_participle`; returns the row's id."""
    row_id = uuid7()
    await session.execute(insert(OutboxRow).values(id=row_id, program_id=program_id, kind=kind, payload=dict(payload)))
    return row_id


async def raise_alert(
    session: AsyncSession,
    kind: str,
    key: str,
    *,
    severity: Severity,
    message: str,
    remedy: str,
    details: Mapping[str, Any] | None = None,
    program_id: UUID | None = None,
) -> bool:
    """Open an alert, or count it once more if one of this kind and key is open; True if it was not.

    `message` says what is wrong, `remedy` what to do about it; the newest of both is kept.
    """
    payload = {"message": message, "remedy": remedy, "details": dict(details or {})}
    new = insert(OutboxRow).values(
        id=uuid7(),
        program_id=program_id,
        kind=kind,
        dedupe_key=key,
        severity=severity.value,
        payload=payload,
        last_seen_at=func.now(),
    )
    statement = new.on_conflict_do_update(
        index_elements=[OutboxRow.kind, OutboxRow.dedupe_key],
        index_where=text("severity is not null and resolved_at is null"),
        set_={
            "payload": new.excluded.payload,
            "severity": new.excluded.severity,
            "last_seen_at": new.excluded.last_seen_at,
            "occurrences": OutboxRow.occurrences + 1,
        },
    ).returning(OutboxRow.occurrences)
    return (await session.execute(statement)).scalar_one() == 1


async def resolve_alert(session: AsyncSession, kind: str, key: str) -> bool:
    """Close the open alert of this kind and key; True if there was one."""
    statement = (
        update(OutboxRow)
        .where(OutboxRow.kind == kind, OutboxRow.dedupe_key == key)
        .where(OutboxRow.severity.is_not(None), OutboxRow.resolved_at.is_(None))
        .values(resolved_at=func.now())
        .returning(OutboxRow.id)
        .execution_options(synchronize_session=False)
    )
    return (await session.execute(statement)).first() is not None


async def open_alerts(session: AsyncSession, *, limit: int = 50, after: UUID | None = None) -> Sequence[OutboxRow]:
    """Open alerts, oldest first, beginning after the one with id `after`."""
    statement = (
        select(OutboxRow)
        .where(OutboxRow.severity.is_not(None), OutboxRow.resolved_at.is_(None))
        .order_by(OutboxRow.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(OutboxRow.id > after)
    return (await session.execute(statement)).scalars().all()


async def count_open_alerts(session: AsyncSession) -> dict[Severity, int]:
    """How many alerts are open, by severity; for `/metrics`."""
    statement = (
        select(OutboxRow.severity, func.count())
        .where(OutboxRow.severity.is_not(None), OutboxRow.resolved_at.is_(None))
        .group_by(OutboxRow.severity)
    )
    counted = {Severity(severity): count for severity, count in await session.execute(statement) if severity}
    return {severity: counted.get(severity, 0) for severity in Severity}
