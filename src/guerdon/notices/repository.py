"""All SQL of alerts as operators see them. Raising and closing them by their cause is `kit/outbox.py`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, update

from guerdon.kit.database import ScopedSession
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
