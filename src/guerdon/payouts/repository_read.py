"""SQL that reads payouts for people and gauges. Moving them on is in `repository.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.ledger.models import Delivery
from guerdon.payouts.models import Batch, BatchMember


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Payouts of one program and asset in one state: how many, and since when the oldest is in it."""

    program_id: UUID
    symbol: str
    state: str
    count: int
    points: int
    oldest: datetime


async def unfinished(session: PlatformSession) -> list[Unfinished]:
    """All payouts that are not over, over all programs: counts and ages only (SAFETY S2)."""
    rows = await session.execute(
        text(
            """
            select u.program_id, a.symbol, u.state, u.deliveries, u.points, u.oldest
              from unfinished_deliveries() u join assets a on a.id = u.asset_id
            """
        )
    )
    return [Unfinished(row.program_id, row.symbol, row.state, row.deliveries, int(row.points), row.oldest) for row in rows]


async def payouts(
    session: ScopedSession, program_id: UUID, *, state: str | None, account_id: UUID | None, after: UUID | None, limit: int
) -> Sequence[Delivery]:
    """A program's payouts, newest first."""
    query = select(Delivery).where(Delivery.program_id == program_id).order_by(Delivery.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Delivery.state == state)
    if account_id is not None:
        query = query.where(Delivery.account_id == account_id)
    if after is not None:
        query = query.where(Delivery.id < after)
    return (await session.scalars(query)).all()


async def payout(session: ScopedSession, program_id: UUID, delivery_id: UUID) -> Delivery | None:
    """One payout of a program."""
    return await session.scalar(
        select(Delivery)
        .where(Delivery.program_id == program_id, Delivery.id == delivery_id)
        .execution_options(populate_existing=True)
    )


async def batches_of_payout(session: ScopedSession, program_id: UUID, delivery_id: UUID) -> Sequence[tuple[Batch, BatchMember]]:
    """Every batch that a payout was or is in, oldest first."""
    rows = await session.execute(
        select(Batch, BatchMember)
        .join(BatchMember, BatchMember.batch_id == Batch.id)
        .where(BatchMember.program_id == program_id, BatchMember.delivery_id == delivery_id)
        .order_by(Batch.opened_at, Batch.id)
    )
    return [(row[0], row[1]) for row in rows]


async def program_of_payout(session: PlatformSession, delivery_id: UUID) -> UUID | None:
    """Whose a payout is, as far as it was ever in a batch."""
    return await session.scalar(select(BatchMember.program_id).where(BatchMember.delivery_id == delivery_id).limit(1))
