"""SQL of what came and what became of it: events with their accruals and payouts, as operators read them."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, select

from guerdon.activity.models import Event
from guerdon.earning.models import Accrual
from guerdon.kit.database import ScopedSession
from guerdon.ledger.models import Asset, Delivery

_LOOKED_THROUGH = 5_000
"""Events that one page looks through."""


class EventRow(NamedTuple):
    """An event, what it earned, the asset's symbol, and the payout that it is in."""

    event: Event
    accrual: Accrual | None
    symbol: str | None
    delivery: Delivery | None


class EventPage(NamedTuple):
    """Some events, and where to go on; a page that is not full has a following one while not all was looked through."""

    rows: list[EventRow]
    following: UUID | None


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
    account_id: UUID | None = None,
) -> EventPage:
    """A page of a program's events, newest first, of an account or a type where one is given.

    What is looked through for one page is bounded: of a rare type there may be none in it and more to come.
    """
    # An account's events are found by what they earned, which has an index for that: there is an accrual for each event.
    seen = select(Event.id, Event.event_type).where(Event.program_id == program_id).order_by(Event.id.desc())
    if account_id is not None:
        seen = select(Accrual.id, Accrual.earned_by.label("event_type")).order_by(Accrual.id.desc())
        seen = seen.where(Accrual.program_id == program_id, Accrual.account_id == account_id)
    if before is not None:
        seen = seen.where((Event.id if account_id is None else Accrual.id) < before)
    window = seen.limit(_LOOKED_THROUGH).subquery()
    query = _events(program_id).join(window, window.c.id == Event.id).order_by(window.c.id.desc()).limit(limit + 1)
    if event_type is not None:
        query = query.where(window.c.event_type == event_type)
    rows = [EventRow(*row) for row in await session.execute(query)]
    if len(rows) > limit:
        return EventPage(rows[:limit], rows[limit - 1].event.id)
    last_seen = select(window.c.id).order_by(window.c.id.desc()).offset(_LOOKED_THROUGH - 1)
    return EventPage(rows, await session.scalar(last_seen))


async def event(session: ScopedSession, program_id: UUID, event_id: UUID) -> EventRow | None:
    """One event of a program."""
    row = (await session.execute(_events(program_id).where(Event.id == event_id))).first()
    return None if row is None else EventRow(*row)
