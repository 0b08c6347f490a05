"""SQL of payouts: what is waiting, and moving it on. Which batch pays what is in `repository_batches.py`.

Reading for people is in `repository_read.py`. Locks: treasury, then batch, then
deliveries by id (SAFETY S15).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.models import Integral
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts.payments import Member

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
    destination: str


async def assets_waiting(session: ScopedSession, program_id: UUID) -> Sequence[UUID]:
    """Assets in which the program has payouts to reserve."""
    return (await session.scalars(_ASSETS_WAITING, {"program_id": program_id})).all()


# From asset to asset through the index: a look-up for each, however many payouts wait.
_ASSETS_WAITING = text(
    """
    with recursive asset as (
        (select d.asset_id from deliveries d
          where d.program_id = :program_id and d.state = 'approved' order by d.asset_id limit 1)
        union all
        select following.asset_id from asset a cross join lateral (
            select d.asset_id from deliveries d
             where d.program_id = :program_id and d.state = 'approved' and d.asset_id > a.asset_id
             order by d.asset_id limit 1) following
    )
    select asset_id from asset order by asset_id
    """
).columns(asset_id=Uuid())


# Subqueries in place of joins: a plan that was made on empty tables would read all accounts of the program.
_WAITING = text(
    """
    select d.id, d.account_id, d.points, d.amount_atomic,
           (select a.wallet_address from accounts a where a.program_id = :program_id and a.id = d.account_id) as destination
      from deliveries d
     where d.program_id = :program_id and d.asset_id = :asset_id and d.state = 'approved'
       and coalesce((select b.debt from account_balances b
                      where b.program_id = :program_id and b.asset_id = :asset_id and b.account_id = d.account_id), 0) = 0
     order by d.id limit :limit
       for update of d skip locked
    """
)


async def lock_waiting(session: ScopedSession, program_id: UUID, asset_id: UUID, limit: int) -> list[Waiting]:
    """The oldest payouts of an automatic asset to reserve, locked; those that another transaction holds are left out."""
    rows = await session.execute(_WAITING, {"program_id": program_id, "asset_id": asset_id, "limit": limit})
    return [
        Waiting(
            row.id, row.account_id, row.points, None if row.amount_atomic is None else int(row.amount_atomic), row.destination
        )
        for row in rows
    ]


_IN_DEBT = text(
    """
    select k.account_id from unnest(:accounts) as k(account_id)
     cross join lateral (select debt from account_balances
                          where program_id = :program_id and asset_id = :asset_id and account_id = k.account_id offset 0) b
     where b.debt > 0
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


@dataclass(frozen=True, slots=True)
class Owed:
    """What a payout is to book when it is delivered."""

    delivery_id: UUID
    asset_id: UUID
    account_id: UUID
    points: int


_LOCK_OWED = text(
    """
    select d.* from unnest(:ids) as k(id)
     cross join lateral (select id, asset_id, account_id, points from deliveries
                          where program_id = :program_id and id = k.id for update) d
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))


async def lock_owed(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> list[Owed]:
    """The same as `lock_deliveries`, only what delivering them needs."""
    rows = await session.execute(_LOCK_OWED, {"program_id": program_id, "ids": sorted(ids)})
    return [Owed(*row) for row in rows]


_FINISH = text(
    """
    update deliveries d
       set state = 'final', batch_id = :batch_id, transaction_hash = :transaction_hash, block_number = :block_number,
           reason = null, updated_at = :now
     where d.program_id = :program_id and d.id = any(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))


async def finish(
    session: ScopedSession,
    program_id: UUID,
    ids: Sequence[UUID],
    *,
    batch_id: UUID,
    transaction_hash: str | None,
    block_number: int | None,
    now: datetime,
) -> None:
    """Locked payouts are delivered: their batch is final and paid."""
    await session.execute(
        _FINISH,
        {
            "program_id": program_id,
            "ids": list(ids),
            "batch_id": batch_id,
            "transaction_hash": transaction_hash,
            "block_number": block_number,
            "now": now,
        },
    )


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
