"""Taking reserved payouts back for a reversal, whole or in part, while nothing was ever signed for them (SAFETY S13).

What was frozen once may be on its way, so it is past recall. Locks: treasury, then batches, before the reversal's own
(SAFETY S15).
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from guerdon.kit.database import PlatformSession, transaction_time
from guerdon.ledger.models import Asset, DeliveryState
from guerdon.payouts import repository, repository_batches, repository_recall
from guerdon.payouts.models import Batch, BatchMember
from guerdon.payouts.quarantine import settle_gas
from guerdon.txmanager import repository_treasuries, treasuries
from guerdon.txmanager.models import Treasury


class PayoutRecall:
    """What `ledger/recall.py` asks for."""

    async def lock(self, session: PlatformSession, program_id: UUID, asset_id: UUID, account_id: UUID) -> list[UUID]:
        """See `Recall`."""
        # All of them, in one order: a claim may wait at any.
        purses = await repository_treasuries.lock_treasuries_of_asset(session, asset_id)
        if not purses:
            return []
        ids = [treasury.id for treasury in purses]
        locked: set[UUID] = set()
        while True:
            found = await repository_recall.unsigned(session, program_id, account_id, ids)
            unlocked = sorted({place.batch_id for place in found} - locked)
            if not unlocked:
                # Read after every lock: none of these batches is frozen, nor can be now.
                return [place.delivery_id for place in found]
            for batch_id in unlocked:
                await repository_batches.batch(session, batch_id, for_update=True)
            # A batch may have been split or frozen before its lock was ours: looked at once more (SAFETY S10).
            locked.update(unlocked)

    async def take(self, session: PlatformSession, program_id: UUID, taken: Mapping[UUID, int]) -> None:
        """See `Recall`."""
        for delivery_id in sorted(taken):
            member = await repository_recall.lock_member(session, program_id, delivery_id)
            batch = await session.get_one(Batch, member.batch_id)
            treasury = await session.get_one(Treasury, batch.treasury_id)
            await self._shrink(session, treasury, batch, member, taken[delivery_id])

    async def _shrink(self, session: PlatformSession, treasury: Treasury, batch: Batch, member: BatchMember, points: int) -> None:
        (delivery,) = await repository.lock_deliveries(session, member.program_id, [member.delivery_id])
        if delivery.state == DeliveryState.REFUSED:
            amount = member.amount_atomic
            delivery.batch_id = None
            if delivery.kind != "claim":
                # What was agreed in a claim stays to be seen.
                delivery.network, delivery.destination, delivery.amount_atomic = None, None, None
            await settle_gas(session, treasury.network, batch, [member], 0)
            await repository_batches.delete_members(session, batch.id, member.program_id, [member.delivery_id])
            batch.size -= 1
        else:
            amount = points * (await session.get_one(Asset, delivery.asset_id)).atomic_per_point
            member.amount_atomic -= amount
            delivery.amount_atomic = member.amount_atomic
        batch.total_atomic -= amount
        treasuries.release(treasury, amount, reserved_since=batch.opened_at, now=await transaction_time(session))
        await session.flush()
