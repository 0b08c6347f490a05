"""SQL of batches and their members: which payouts one transaction pays. The payouts themselves are in `repository.py`.

Batches that come from batches are in `repository_split.py`. Locks: treasury, then batch, then deliveries by id (SAFETY S15).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from guerdon.kit.database import PlatformSession
from guerdon.kit.models import Integral, constants
from guerdon.payouts.models import Batch, BatchMember, BatchState
from guerdon.payouts.payments import Member
from guerdon.txmanager.models import Intent


async def lock_open_batch(session: PlatformSession, treasury_id: UUID) -> Batch | None:
    """The treasury's batch that still takes payouts, locked."""
    return await session.scalar(
        select(Batch)
        .where(Batch.treasury_id == treasury_id, Batch.state.in_(constants(BatchState.OPEN)))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def batches_ahead(session: PlatformSession, treasury_id: UUID) -> int:
    """How many batches of the treasury are full or frozen and not yet in a block."""
    count = await session.scalar(
        select(func.count())
        .select_from(Batch)
        .outerjoin(Intent, Intent.id == Batch.intent_id)
        .where(
            Batch.treasury_id == treasury_id,
            Batch.state.in_(constants(BatchState.CLOSED, BatchState.FROZEN)),
            Intent.state.is_(None) | Intent.state.in_(("queued", "bound", "signed", "sent")),
        )
    )
    return count or 0


async def insert_batch(session: PlatformSession, batch: Batch) -> None:
    """A new batch."""
    session.add(batch)
    await session.flush()


_INSERT_MEMBERS = text(
    """
    insert into batch_members (batch_id, program_id, delivery_id, destination, amount_atomic, gas_reserved_wei)
    select :batch_id, m.program_id, m.delivery_id, m.destination, m.amount_atomic, m.gas_reserved_wei
      from unnest(:programs, :deliveries, :destinations, :amounts, :gas)
           as m(program_id, delivery_id, destination, amount_atomic, gas_reserved_wei)
    """
).bindparams(
    bindparam("programs", type_=ARRAY(Uuid())),
    bindparam("deliveries", type_=ARRAY(Uuid())),
    bindparam("destinations", type_=ARRAY(Text())),
    bindparam("amounts", type_=ARRAY(Integral())),
    bindparam("gas", type_=ARRAY(Integral())),
)


async def insert_members(
    session: PlatformSession, batch_id: UUID, members: Sequence[Member], gas_reserved_wei: Sequence[int]
) -> None:
    """Put payouts into a batch, each with the gas that is reserved of its program's budget for it, in wei."""
    await session.execute(
        _INSERT_MEMBERS,
        {
            "batch_id": batch_id,
            "programs": [member.program_id for member in members],
            "deliveries": [member.delivery_id for member in members],
            "destinations": [member.destination for member in members],
            "amounts": [member.amount_atomic for member in members],
            "gas": list(gas_reserved_wei),
        },
    )


async def fee_paid(session: PlatformSession, batch: Batch) -> int:
    """Wei that the batch's transaction has cost, whatever became of it; 0 if there was none."""
    if batch.intent_id is None:
        return 0
    fee = await session.scalar(select(Intent.fee_paid_wei).where(Intent.id == batch.intent_id))
    return int(fee or 0)


async def close_ripe(session: PlatformSession, opened_before: datetime) -> None:
    """Close the open batches that are older than that: from now on they take no more payouts."""
    await session.execute(
        update(Batch)
        .where(Batch.state.in_(constants(BatchState.OPEN)), Batch.size > 0, Batch.opened_at <= opened_before)
        .values(state=BatchState.CLOSED)
    )


async def next_ripe(session: AsyncSession) -> datetime | None:
    """When the oldest open batch was opened."""
    return await session.scalar(
        select(func.min(Batch.opened_at)).where(Batch.state.in_(constants(BatchState.OPEN)), Batch.size > 0)
    )


async def closed_batches(session: AsyncSession) -> Sequence[Batch]:
    """Batches to be simulated and frozen, oldest first."""
    found = await session.scalars(select(Batch).where(Batch.state.in_(constants(BatchState.CLOSED))).order_by(Batch.id))
    return found.all()


async def frozen_batches(session: AsyncSession) -> Sequence[tuple[Batch, Intent]]:
    """Batches that are on their way, with the intents that carry them, oldest first."""
    rows = await session.execute(
        select(Batch, Intent)
        .join(Intent, Intent.id == Batch.intent_id)
        .where(Batch.state.in_(constants(BatchState.FROZEN)))
        .order_by(Batch.id)
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1]) for row in rows]


async def batch(session: AsyncSession, batch_id: UUID, *, for_update: bool = False) -> Batch | None:
    """A batch by its id."""
    query = select(Batch).where(Batch.id == batch_id).execution_options(populate_existing=True)
    return await session.scalar(query.with_for_update(key_share=True) if for_update else query)


_MEMBER = (BatchMember.program_id, BatchMember.delivery_id, BatchMember.destination, BatchMember.amount_atomic)


async def members(session: AsyncSession, batch_id: UUID, *, unsettled_only: bool = False) -> list[Member]:
    """Who is in a batch; with `unsettled_only`, those whose reservation stands."""
    query = select(*_MEMBER).where(BatchMember.batch_id == batch_id).order_by(BatchMember.program_id, BatchMember.delivery_id)
    rows = await session.execute(query.where(~BatchMember.settled) if unsettled_only else query)
    return [Member(*row) for row in rows]


async def lock_unsettled(session: PlatformSession, batch_id: UUID, program_id: UUID) -> Sequence[BatchMember]:
    """A program's members of a batch whose reservation stands, locked: whoever settles them, does it once."""
    found = await session.scalars(
        select(BatchMember)
        .where(BatchMember.batch_id == batch_id, BatchMember.program_id == program_id, ~BatchMember.settled)
        .order_by(BatchMember.delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.all()


async def settle_members(session: PlatformSession, batch_id: UUID, program_id: UUID) -> None:
    """A program's part of a batch is over."""
    await session.execute(
        update(BatchMember).where(BatchMember.batch_id == batch_id, BatchMember.program_id == program_id).values(settled=True)
    )


async def note_delivery_state(session: PlatformSession, batch_id: UUID, state: str) -> None:
    """What the payouts of a batch were last moved to."""
    await session.execute(update(Batch).where(Batch.id == batch_id).values(delivery_state=state))


async def delete_members(session: PlatformSession, batch_id: UUID, program_id: UUID, ids: Sequence[UUID]) -> None:
    """Take payouts out of a batch that was never frozen; of frozen ones nothing is ever deleted."""
    await session.execute(
        delete(BatchMember).where(
            BatchMember.batch_id == batch_id, BatchMember.program_id == program_id, BatchMember.delivery_id.in_(ids)
        )
    )


async def idle_paused_treasuries(session: PlatformSession) -> Sequence[UUID]:
    """Treasuries that paused because nobody could be paid, and have no batch left that could tell whether that is over."""
    found = await session.scalars(
        text(
            """
            select t.id from treasuries t
             where t.paused_at is not null and t.resumes_by_itself
               and not exists (select from batches b left join intents i on i.id = b.intent_id
                                where b.treasury_id = t.id and b.state in ('closed', 'frozen')
                                  and (b.state = 'closed' or (b.state = 'frozen' and i.state = 'failed')))
            """
        )
    )
    return found.all()
