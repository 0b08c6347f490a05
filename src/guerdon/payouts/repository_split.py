"""SQL for batches that come from batches: ancestors, and moving members. The rest is in `repository.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from guerdon.kit.database import PlatformSession
from guerdon.payouts.models import BatchMember
from guerdon.payouts.payments import Member


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An earlier batch of some payout: its list was fixed, so its transaction may be somewhere."""

    batch_id: UUID
    chain_batch_id: str


_ANCESTORS = text(
    """
    select distinct b.id, b.chain_batch_id
      from batch_members mine
      join batch_members m on m.program_id = mine.program_id and m.delivery_id = mine.delivery_id and m.batch_id <> mine.batch_id
      join batches b on b.id = m.batch_id
     where mine.batch_id = :batch_id and b.chain_batch_id is not null
     order by b.id
    """
)


async def ancestors(session: PlatformSession, batch_id: UUID) -> list[Ancestor]:
    """Every earlier batch, frozen once, of any payout that is in this one."""
    return [Ancestor(row.id, row.chain_batch_id) for row in await session.execute(_ANCESTORS, {"batch_id": batch_id})]


async def batches_of(session: PlatformSession, program_id: UUID, delivery_id: UUID) -> list[Ancestor]:
    """Every batch, frozen once, that a payout was or is in."""
    rows = await session.execute(
        text(
            """
            select b.id, b.chain_batch_id from batch_members m join batches b on b.id = m.batch_id
             where m.program_id = :program_id and m.delivery_id = :delivery_id and b.chain_batch_id is not null order by b.id
            """
        ),
        {"program_id": program_id, "delivery_id": delivery_id},
    )
    return [Ancestor(row.id, row.chain_batch_id) for row in rows]


_DESTINATIONS_IN = text(
    """
    select distinct mine.destination
      from batch_members mine
      join batch_members m on m.program_id = mine.program_id and m.delivery_id = mine.delivery_id
     where mine.batch_id = :batch_id and m.batch_id = any(:others)
    """
).bindparams(bindparam("others", type_=ARRAY(Uuid())))


async def destinations_in(session: PlatformSession, batch_id: UUID, others: Sequence[UUID]) -> list[str]:
    """Destinations of those payouts of a batch that are in one of the other batches as well."""
    return list(await session.scalars(_DESTINATIONS_IN, {"batch_id": batch_id, "others": list(others)}))


async def move_members(session: PlatformSession, batch_id: UUID, to_batch_id: UUID, members: Sequence[Member]) -> None:
    """Move payouts from a batch that was never frozen to another one."""
    await session.execute(
        update(BatchMember)
        .where(BatchMember.batch_id == batch_id, BatchMember.delivery_id.in_([member.delivery_id for member in members]))
        .values(batch_id=to_batch_id)
    )


_COPY = text(
    """
    insert into batch_members (batch_id, program_id, delivery_id, destination, amount_atomic, gas_reserved_wei)
    select :to_batch_id, m.program_id, m.delivery_id, m.destination, m.amount_atomic, m.gas_reserved_wei
      from batch_members m where m.batch_id = :batch_id and m.delivery_id = any(:ids) and not m.settled
    on conflict do nothing
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))


async def copy_members(session: PlatformSession, batch_id: UUID, to_batch_id: UUID, members: Sequence[Member]) -> None:
    """Put payouts of a dead batch into a new one; that they were in the old one stays recorded."""
    await session.execute(
        _COPY, {"batch_id": batch_id, "to_batch_id": to_batch_id, "ids": [member.delivery_id for member in members]}
    )


async def settle_all(session: PlatformSession, batch_id: UUID) -> None:
    """No reservation stands for this batch any more."""
    await session.execute(update(BatchMember).where(BatchMember.batch_id == batch_id).values(settled=True))


async def lonely_attempts(session: PlatformSession, batch_id: UUID) -> int:
    """How many frozen batches there were with nothing but this batch's one destination, for the same payouts."""
    count = await session.scalar(
        text(
            """
            select count(*) from (
                select b.id from batches b join batch_members m on m.batch_id = b.id
                 where b.chain_batch_id is not null
                   and b.id in (select o.batch_id from batch_members mine
                                  join batch_members o on o.program_id = mine.program_id and o.delivery_id = mine.delivery_id
                                 where mine.batch_id = :batch_id)
                 group by b.id having count(distinct m.destination) = 1) lonely
            """
        ),
        {"batch_id": batch_id},
    )
    return int(count or 0)
