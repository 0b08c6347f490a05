"""SQL of payouts and their batches: what is waiting, what is in which batch, and moving both on.

Reading for people and the queries behind a remedy are in `repository_read.py`. Locks: treasury, then batch, then
deliveries by id (SAFETY S15).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.models import Integral
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts.models import Batch, BatchMember, BatchState
from guerdon.payouts.payments import Member
from guerdon.txmanager.models import Intent

IN_BATCH = (
    DeliveryState.RESERVED,
    DeliveryState.SIGNED,
    DeliveryState.SENT,
    DeliveryState.CONFIRMED,
    DeliveryState.EXPIRED,
    DeliveryState.UNKNOWN,
    DeliveryState.FAILED_ONCHAIN,
)
"""States of a payout that a batch is to pay."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payout that nothing is reserved for yet. `amount_atomic` was frozen with a claim; else the points decide."""

    delivery_id: UUID
    account_id: UUID
    points: int
    amount_atomic: int | None
    wallet_address: str


async def assets_waiting(session: ScopedSession, program_id: UUID) -> Sequence[UUID]:
    """Assets in which the program has payouts to reserve."""
    found = await session.scalars(
        select(Delivery.asset_id)
        .where(Delivery.program_id == program_id, Delivery.state == DeliveryState.APPROVED)
        .distinct()
        .order_by(Delivery.asset_id)
    )
    return found.all()


_WAITING = text(
    """
    select d.id, d.account_id, d.points, d.amount_atomic, a.wallet_address
      from deliveries d
      join accounts a on a.program_id = :program_id and a.id = d.account_id
     where d.program_id = :program_id and d.asset_id = :asset_id and d.state = 'approved'
       and not exists (select from account_balances b
                        where b.program_id = :program_id and b.asset_id = d.asset_id and b.account_id = d.account_id
                          and b.debt > 0)
     order by d.id limit :limit
       for update of d skip locked
    """
)


async def lock_waiting(session: ScopedSession, program_id: UUID, asset_id: UUID, limit: int) -> list[Waiting]:
    """The oldest payouts to reserve, locked; those that another transaction holds are left out."""
    rows = await session.execute(_WAITING, {"program_id": program_id, "asset_id": asset_id, "limit": limit})
    return [
        Waiting(
            row.id, row.account_id, row.points, None if row.amount_atomic is None else int(row.amount_atomic), row.wallet_address
        )
        for row in rows
    ]


_IN_DEBT = text(
    """
    select account_id from account_balances
     where program_id = :program_id and asset_id = :asset_id and account_id = any(:accounts) and debt > 0
    """
).bindparams(bindparam("accounts", type_=ARRAY(Uuid())))


async def accounts_in_debt(session: ScopedSession, program_id: UUID, asset_id: UUID, accounts: Iterable[UUID]) -> set[UUID]:
    """Of these accounts, those with open debt: nothing is sent to them (SAFETY S13). Read after the locks (SAFETY S10)."""
    found = await session.scalars(_IN_DEBT, {"program_id": program_id, "asset_id": asset_id, "accounts": sorted(set(accounts))})
    return set(found)


# Values are looked up in arrays by place rather than joined: a generic plan made on an empty table would join badly.
_RESERVE = text(
    """
    update deliveries d
       set state = 'reserved', network = :network, batch_id = :batch_id, reason = null, updated_at = :now,
           amount_atomic = (:amounts)[array_position(:ids, d.id)], destination = (:destinations)[array_position(:ids, d.id)]
     where d.program_id = :program_id and d.id = any(:ids)
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("amounts", type_=ARRAY(Integral())),
    bindparam("destinations", type_=ARRAY(Text())),
)


async def mark_reserved(
    session: ScopedSession, program_id: UUID, members: Sequence[Member], *, network: str, batch_id: UUID, now: datetime
) -> None:
    """Bind locked payouts to a batch, with their amounts and destinations."""
    await session.execute(
        _RESERVE,
        {
            "program_id": program_id,
            "network": network,
            "batch_id": batch_id,
            "now": now,
            "ids": [member.delivery_id for member in members],
            "amounts": [member.amount_atomic for member in members],
            "destinations": [member.destination for member in members],
        },
    )


async def lock_open_batch(session: PlatformSession, treasury_id: UUID) -> Batch | None:
    """The treasury's batch that still takes payouts, locked."""
    return await session.scalar(
        select(Batch)
        .where(Batch.treasury_id == treasury_id, Batch.state == BatchState.OPEN)
        .with_for_update()
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
            Batch.state.in_((BatchState.CLOSED, BatchState.FROZEN)),
            Intent.state.is_(None) | Intent.state.in_(("queued", "bound", "signed", "sent")),
        )
    )
    return count or 0


async def insert_batch(session: PlatformSession, batch: Batch) -> None:
    """A new batch."""
    session.add(batch)
    await session.flush()


async def insert_members(
    session: PlatformSession, batch_id: UUID, members: Sequence[Member], gas_reserved_wei: Sequence[int]
) -> None:
    """Put payouts into a batch, each with the gas that is reserved of its program's budget for it, in wei."""
    await session.execute(
        insert(BatchMember),
        [
            {
                "batch_id": batch_id,
                "program_id": member.program_id,
                "delivery_id": member.delivery_id,
                "destination": member.destination,
                "amount_atomic": member.amount_atomic,
                "gas_reserved_wei": gas,
            }
            for member, gas in zip(members, gas_reserved_wei, strict=True)
        ],
    )


async def close_ripe(session: PlatformSession, opened_before: datetime) -> None:
    """Close the open batches that are older than that: from now on they take no more payouts."""
    await session.execute(
        update(Batch)
        .where(Batch.state == BatchState.OPEN, Batch.size > 0, Batch.opened_at <= opened_before)
        .values(state=BatchState.CLOSED)
    )


async def next_ripe(session: AsyncSession) -> datetime | None:
    """When the oldest open batch was opened."""
    return await session.scalar(select(func.min(Batch.opened_at)).where(Batch.state == BatchState.OPEN, Batch.size > 0))


async def closed_batches(session: AsyncSession) -> Sequence[Batch]:
    """Batches to be simulated and frozen, oldest first."""
    found = await session.scalars(select(Batch).where(Batch.state == BatchState.CLOSED).order_by(Batch.id))
    return found.all()


async def frozen_batches(session: AsyncSession) -> Sequence[tuple[Batch, Intent]]:
    """Batches that are on their way, with the intents that carry them, oldest first."""
    rows = await session.execute(
        select(Batch, Intent)
        .join(Intent, Intent.id == Batch.intent_id)
        .where(Batch.state == BatchState.FROZEN)
        .order_by(Batch.id)
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1]) for row in rows]


async def batch(session: AsyncSession, batch_id: UUID, *, for_update: bool = False) -> Batch | None:
    """A batch by its id."""
    query = select(Batch).where(Batch.id == batch_id).execution_options(populate_existing=True)
    return await session.scalar(query.with_for_update() if for_update else query)


async def members(session: AsyncSession, batch_id: UUID, *, unsettled_only: bool = False) -> list[Member]:
    """Who is in a batch; with `unsettled_only`, those whose reservation stands."""
    query = select(BatchMember).where(BatchMember.batch_id == batch_id).order_by(BatchMember.program_id, BatchMember.delivery_id)
    found = await session.scalars(query.where(~BatchMember.settled) if unsettled_only else query)
    return [Member(row.program_id, row.delivery_id, row.destination, row.amount_atomic) for row in found]


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


async def lock_deliveries(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> Sequence[Delivery]:
    """These payouts, locked in the order of their ids."""
    found = await session.scalars(
        select(Delivery)
        .where(Delivery.program_id == program_id, Delivery.id.in_(ids))
        .order_by(Delivery.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.all()


# Compared with the intent once more: a worker that was slow must not write what another one knows better.
_MOVE_ON = text(
    """
    update deliveries d
       set state = :state, batch_id = :batch_id, transaction_hash = :transaction_hash, block_number = :block_number,
           reason = :reason, updated_at = :now
     where d.program_id = :program_id and d.id = any(:ids) and d.state = any(:from_states)
       and exists (select from batches b join intents i on i.id = b.intent_id
                    where b.id = :batch_id and i.state = :intent_state and b.state = 'frozen')
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())), bindparam("from_states", type_=ARRAY(Text())))


async def move_on(
    session: ScopedSession, program_id: UUID, ids: Sequence[UUID], *, batch_id: UUID, intent_state: str, values: dict[str, Any]
) -> None:
    """Show on payouts what happens to their batch, as long as its intent is in the state that was seen."""
    await session.execute(
        _MOVE_ON,
        {
            "program_id": program_id,
            "ids": list(ids),
            "from_states": [state.value for state in IN_BATCH],
            "batch_id": batch_id,
            "intent_state": intent_state,
            **values,
        },
    )


async def note_delivery_state(session: PlatformSession, batch_id: UUID, state: str) -> None:
    """What the payouts of a batch were last moved to."""
    await session.execute(update(Batch).where(Batch.id == batch_id).values(delivery_state=state))


_SPEND_GAS = text(
    """
    insert into gas_spent (program_id, network, day, wei) values (:program_id, :network, :day, :wei)
    on conflict (program_id, network, day) do update set wei = greatest(gas_spent.wei + :change, 0)
    """
).bindparams(bindparam("wei", type_=Integral()), bindparam("change", type_=Integral()))


async def add_gas(session: PlatformSession, program_id: UUID, network: str, day: str, change_wei: int) -> None:
    """Count gas of a program for a day; negative where less was used than reserved."""
    await session.execute(
        _SPEND_GAS,
        {"program_id": program_id, "network": network, "day": day, "wei": max(change_wei, 0), "change": change_wei},
    )


async def gas_spent(session: PlatformSession, program_id: UUID, network: str, day: str) -> int:
    """Wei that a program's payouts reserved or cost on a day, locked."""
    total = await session.scalar(
        text("select wei from gas_spent where program_id = :program_id and network = :network and day = :day for update"),
        {"program_id": program_id, "network": network, "day": day},
    )
    return int(total or 0)


async def gas_budget(session: AsyncSession, program_id: UUID) -> int | None:
    """Wei a day that a program's payouts may cost; None: no limit."""
    value = await session.scalar(text("select gas_budget_wei from programs where id = :program_id"), {"program_id": program_id})
    return None if value is None else int(value)


async def delete_members(session: PlatformSession, batch_id: UUID, program_id: UUID, ids: Sequence[UUID]) -> None:
    """Take payouts out of a batch that was never frozen; of frozen ones nothing is ever deleted."""
    await session.execute(
        delete(BatchMember).where(
            BatchMember.batch_id == batch_id, BatchMember.program_id == program_id, BatchMember.delivery_id.in_(ids)
        )
    )


async def wallet_of(session: ScopedSession, program_id: UUID, account_id: UUID) -> str:
    """An account's built-in wallet: where its tokens go (SAFETY S5)."""
    wallet = await session.scalar(
        text("select wallet_address from accounts where program_id = :program_id and id = :account_id"),
        {"program_id": program_id, "account_id": account_id},
    )
    return str(wallet)


async def idle_paused_treasuries(session: PlatformSession) -> Sequence[UUID]:
    """Treasuries that paused because nobody could be paid, and have no batch left that could tell whether that is over."""
    found = await session.scalars(
        text(
            """
            select t.id from treasuries t
             where t.paused_at is not null and t.resumes_by_itself
               and not exists (select from batches b left join intents i on i.id = b.intent_id
                                where b.treasury_id = t.id
                                  and (b.state = 'closed' or (b.state = 'frozen' and i.state = 'failed')))
            """
        )
    )
    return found.all()
