"""SQL for taking reserved payouts back. The rest of batches is in `repository_batches.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from guerdon.kit.database import PlatformSession
from guerdon.payouts.models import BatchMember


@dataclass(frozen=True, slots=True)
class Place:
    """A payout and the batch it is in."""

    delivery_id: UUID
    batch_id: UUID


_UNSIGNED = text(
    """
    select m.delivery_id, m.batch_id
      from deliveries d
      join batch_members m on m.program_id = :program_id and m.delivery_id = d.id and not m.settled
      join batches b on b.id = m.batch_id
     where d.program_id = :program_id and d.account_id = :account_id and d.state = 'reserved'
       and b.treasury_id = any(:treasuries) and b.state in ('open', 'closed')
       and not exists (select from batch_members o join batches f on f.id = o.batch_id
                        where o.program_id = :program_id and o.delivery_id = d.id and f.chain_batch_id is not null)
     order by m.delivery_id
    """
).bindparams(bindparam("treasuries", type_=ARRAY(Uuid())))


async def unsigned(session: PlatformSession, program_id: UUID, account_id: UUID, treasuries: Sequence[UUID]) -> list[Place]:
    """An account's payouts in batches of these treasuries that are not frozen, and that were in no frozen one before."""
    wanted = {"program_id": program_id, "account_id": account_id, "treasuries": list(treasuries)}
    rows = await session.execute(_UNSIGNED, wanted)
    return [Place(row.delivery_id, row.batch_id) for row in rows]


async def lock_member(session: PlatformSession, program_id: UUID, delivery_id: UUID) -> BatchMember:
    """A payout's one membership whose reservation stands, locked."""
    found = await session.scalars(
        select(BatchMember)
        .where(BatchMember.program_id == program_id, BatchMember.delivery_id == delivery_id, ~BatchMember.settled)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()
