"""SQL of importing payments that this database did not know (SAFETY S21): what they may have paid, and which batch they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.models import constants
from guerdon.ledger.models import Asset
from guerdon.payouts.models import Batch, BatchMember, BatchState
from guerdon.txmanager.models import Treasury


@dataclass(frozen=True, slots=True)
class Candidate:
    """A payout that a payment may have paid: nothing that could still land carries it."""

    delivery_id: UUID
    wallet: str
    amount_atomic: int
    is_sum: bool
    """It is what its account has earned since the payout before: a part of it may have been paid."""
    batch_id: UUID | None
    """The unfinished batch that it is reserved in."""


async def treasuries_of(session: PlatformSession, key_id: UUID) -> list[tuple[Treasury, Asset]]:
    """What a key pays from."""
    rows = await session.execute(
        select(Treasury, Asset).join(Asset, Asset.id == Treasury.asset_id).where(Treasury.key_id == key_id).order_by(Treasury.id)
    )
    return [(row[0], row[1]) for row in rows]


async def batch_by_chain_id(session: PlatformSession, treasury_id: UUID, chain_batch_id: str) -> Batch | None:
    """The batch that the distributor knows under this id."""
    return await session.scalar(
        select(Batch)
        .where(Batch.treasury_id == treasury_id, Batch.chain_batch_id == chain_batch_id)
        .execution_options(populate_existing=True)
    )


async def lock_unfinished(session: PlatformSession, treasury_id: UUID) -> None:
    """Lock a treasury's unfinished batches, so that none is frozen, split or replaced meanwhile."""
    await session.execute(
        select(Batch.id)
        .where(
            Batch.treasury_id == treasury_id, Batch.state.in_(constants(BatchState.OPEN, BatchState.CLOSED, BatchState.FROZEN))
        )
        .order_by(Batch.id)
        .with_for_update(key_share=True)
    )


async def accounted(session: PlatformSession, batch_id: UUID) -> dict[str, int]:
    """What the payouts of a batch come to, by wallet in lower case."""
    rows = await session.execute(
        select(BatchMember.destination, BatchMember.amount_atomic).where(BatchMember.batch_id == batch_id)
    )
    sums: dict[str, int] = {}
    for destination, amount in rows:
        sums[destination.lower()] = sums.get(destination.lower(), 0) + int(amount)
    return sums


async def programs_waiting(session: PlatformSession, asset_id: UUID) -> Sequence[UUID]:
    """Programs that have payouts of an asset which are not over (SAFETY S2: no more than their ids is read)."""
    found = await session.scalars(
        text("select distinct program_id from waiting_deliveries_v1() where asset_id = :asset_id order by program_id"),
        {"asset_id": asset_id},
    )
    return found.all()


_CANDIDATES = text(
    """
    select d.id, d.points, d.amount_atomic, d.state, d.kind, r.batch_id,
           coalesce(d.destination, a.wallet_address) as wallet
      from deliveries d
      join accounts a on a.program_id = :program_id and a.id = d.account_id
      left join lateral (select m.batch_id, b.state, i.state as intent_state, i.nonce as intent_nonce
                           from batch_members m
                           join batches b on b.id = m.batch_id and b.state in ('open', 'closed', 'frozen')
                           left join intents i on i.id = b.intent_id
                          where m.program_id = :program_id and m.delivery_id = d.id and not m.settled limit 1) r on true
     where d.program_id = :program_id and d.asset_id = :asset_id and (d.network is null or d.network = :network)
       and d.state not in ('final', 'refused', 'returned', 'requested', 'in_review')
       and (d.state in ('approved', 'quarantined') or r.state in ('open', 'closed')
            or (r.state = 'frozen' and (r.intent_state = 'queued' or (r.intent_state = 'void' and r.intent_nonce is null))))
       and lower(coalesce(d.destination, a.wallet_address)) = any(:wallets)
     order by d.id
       for update of d
    """
).bindparams(bindparam("wallets", type_=ARRAY(Text())))


async def lock_candidates(
    session: ScopedSession, program_id: UUID, treasury: Treasury, wallets: Sequence[str], atomic_per_point: int
) -> list[Candidate]:
    """A program's payouts from a treasury to these wallets (lower case) that wait or are reserved in what has no nonce, locked,
    oldest first.
    """
    places = {"asset_id": treasury.asset_id, "network": treasury.network, "wallets": list(wallets)}
    rows = await session.execute(_CANDIDATES, {"program_id": program_id, **places})
    return [
        Candidate(
            row.id,
            row.wallet,
            int(row.points) * atomic_per_point if row.amount_atomic is None else int(row.amount_atomic),
            row.kind == "automatic",
            row.batch_id,
        )
        for row in rows
    ]
