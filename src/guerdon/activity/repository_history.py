"""SQL of what came and what became of it: events with their accruals and payouts, as operators read them."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, select

from guerdon.activity.models import Event
from guerdon.earning.models import Accrual
from guerdon.kit.database import ScopedSession
from guerdon.ledger.models import Asset, Delivery


class EventRow(NamedTuple):
    """An event, what it earned, the asset's symbol, and the payout that it is in."""

    event: Event
    accrual: Accrual | None
    symbol: str | None
    delivery: Delivery | None


def _events(program_id: UUID) -> Select[Event, Accrual, str, Delivery]:
    return (
        select(Event, Accrual, Asset.symbol, Delivery)
        .outerjoin(Accrual, and_(Accrual.program_id == program_id, Accrual.id == Event.id))
        .outerjoin(Asset, Asset.id == Accrual.asset_id)
        .outerjoin(Delivery, and_(Delivery.program_id == program_id, Delivery.id == Accrual.delivery_id))
        .where(Event.program_id == program_id)
    )


async def events_before(
    session: ScopedSession,
    program_id: UUID,
    before: UUID | None,
    limit: int,
    *,
    event_type: str | None = None,
    identity: str | None = None,
) -> list[EventRow]:
    """A page of a program's events, newest first."""
    query = _events(program_id).order_by(Event.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Event.id < before)
    if event_type is not None:
        query = query.where(Event.event_type == event_type)
    if identity is not None:
        query = query.where(Event.identity == identity)
    return [EventRow(*row) for row in await session.execute(query)]


async def event(session: ScopedSession, program_id: UUID, event_id: UUID) -> EventRow | None:
    """One event of a program."""
    row = (await session.execute(_events(program_id).where(Event.id == event_id))).first()
    return None if row is None else EventRow(*row)
