"""SQL that reads payouts for people and gauges. Moving them on is in `repository.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import join, select, text, true

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.models import constants
from guerdon.ledger.models import Asset, Delivery, DeliveryState
from guerdon.payouts.models import Batch, BatchMember


async def programs_waiting(session: PlatformSession, state: DeliveryState, before: datetime) -> Sequence[UUID]:
    """Programs with a payout in this state that was asked for before that time (SAFETY S2: no more than their ids is read)."""
    found = await session.scalars(
        text("select distinct program_id from waiting_deliveries_v1() where state = :state and oldest < :before order by 1"),
        {"state": state.value, "before": before},
    )
    return found.all()


async def payouts(
    session: ScopedSession, program_id: UUID, *, state: str | None, account_id: UUID | None, after: UUID | None, limit: int
) -> Sequence[Delivery]:
    """A program's payouts, newest first."""
    query = select(Delivery).where(Delivery.program_id == program_id).order_by(Delivery.id.desc()).limit(limit)
    if account_id is not None:
        query = query.where(Delivery.account_id == account_id)
    if after is not None:
        query = query.where(Delivery.id < after)
    if state is not None:
        query = query.where(Delivery.state.in_(constants(state)))
    if state in {None, DeliveryState.FINAL}:
        return (await session.scalars(query)).all()
    # The index of the other states has the asset before the id: of the newest of each asset, of which there are few, the newest.
    # Their ids first, since the index has these: a planner that reads rows would rather walk back through all payouts.
    ids = query.with_only_columns(Delivery.id).where(Delivery.asset_id == Asset.id).correlate(Asset).lateral()
    newest = select(ids.c.id).select_from(join(Asset, ids, true())).order_by(ids.c.id.desc()).limit(limit).subquery()
    of_all_assets = select(Delivery).join(newest, newest.c.id == Delivery.id).where(Delivery.program_id == program_id)
    return (await session.scalars(of_all_assets.order_by(newest.c.id.desc()))).all()


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
