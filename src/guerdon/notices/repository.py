"""All SQL of alerts as operators see them. Raising and closing them by their cause is `kit/outbox.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.outbox import OutboxRow


async def alerts_after(
    session: ScopedSession, after: UUID | None, limit: int, *, program_id: UUID | None, resolved: bool
) -> Sequence[OutboxRow]:
    """Open alerts, or with `resolved` all of them, oldest first; of one program where one is given."""
    query = select(OutboxRow).where(OutboxRow.severity.is_not(None)).order_by(OutboxRow.id).limit(limit)
    if not resolved:
        query = query.where(OutboxRow.resolved_at.is_(None))
    if program_id is not None:
        query = query.where(OutboxRow.program_id == program_id)
    if after is not None:
        query = query.where(OutboxRow.id > after)
    return (await session.scalars(query)).all()


_FORGET = text(
    """
    delete from outbox where id in (
        select o.id from outbox o
         where o.id < :below and (o.severity is null or o.resolved_at < :before) order by o.id limit :rows)
    returning 1
    """
)


async def forget(session: PlatformSession, before: datetime, below: UUID, rows: int) -> int:
    """Delete the oldest of what happened, and of the alerts that were closed, before that time; how many. Open alerts stay.

    `below` is the lowest id of that time: the table is read from its old end and no further.
    """
    deleted = await session.scalars(_FORGET, {"before": before, "below": below, "rows": rows})
    return len(deleted.all())


async def resolve_alert(session: ScopedSession, alert_id: UUID, program_id: UUID | None) -> OutboxRow | None:
    """The alert, closed now if it was open; None if there is none of that id, or it is another program's."""
    statement = (
        update(OutboxRow)
        .where(OutboxRow.id == alert_id, OutboxRow.severity.is_not(None))
        .values(resolved_at=func.coalesce(OutboxRow.resolved_at, func.now()))
        .returning(OutboxRow)
        .execution_options(populate_existing=True)
    )
    if program_id is not None:
        statement = statement.where(OutboxRow.program_id == program_id)
    return await session.scalar(statement)
