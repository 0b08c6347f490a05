"""Taking payouts out of a batch that is not on any chain: the others go on (DESIGN section 6, rule 7).

How a quarantine ends is `remedies.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.outbox import Severity
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts import alerts, repository, repository_batches
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Batch, BatchMember, BatchState
from guerdon.payouts.payments import by_program, gas_day, shared_cost
from guerdon.txmanager import repository_treasuries, treasuries
from guerdon.txmanager.models import Treasury

log = structlog.get_logger("guerdon.payouts")


async def quarantine(deps: PayoutDeps, batch_id: UUID, reasons: Mapping[str, str]) -> None:
    """Take the payouts to these destinations out of a closed batch, program by program, with the reason of each."""
    async with deps.database.platform() as session:
        members = await repository_batches.members(session, batch_id)
    for program_id in by_program(member for member in members if member.destination in reasons):
        await run_in_platform(deps.database, _Removal(deps, batch_id, program_id, reasons))


class _Removal:
    """One program's part, as one transaction: reservation, membership and payout change together."""

    def __init__(
        self,
        deps: PayoutDeps,
        batch_id: UUID,
        program_id: UUID,
        reasons: Mapping[str, str],
        *,
        from_state: BatchState = BatchState.CLOSED,
    ) -> None:
        self._deps = deps
        self._from_state = from_state
        self._batch_id = batch_id
        self._program_id = program_id
        self._reasons = reasons

    async def __call__(self, session: PlatformSession) -> None:
        batch = await repository_batches.batch(session, self._batch_id)
        if batch is None:
            return
        treasury = await repository_treasuries.lock_treasury(session, batch.treasury_id)
        locked = await repository_batches.batch(session, self._batch_id, for_update=True)
        if locked is None or locked.state != self._from_state:
            return
        members = await repository_batches.lock_unsettled(session, self._batch_id, self._program_id)
        culprits = [member for member in members if member.destination in self._reasons]
        if not culprits:
            return
        async with program_scope(session, self._program_id):
            await self._mark(session, culprits)
        await release(session, treasury, locked, culprits, fee_wei=await repository_batches.fee_paid(session, locked))
        if self._from_state is BatchState.CLOSED:
            await repository_batches.delete_members(session, self._batch_id, self._program_id, [m.delivery_id for m in culprits])
            locked.size -= len(culprits)
            locked.total_atomic -= sum(member.amount_atomic for member in culprits)
        else:
            for member in culprits:
                member.settled = True

    async def _mark(self, session: PlatformSession, culprits: Sequence[BatchMember]) -> None:
        now = await transaction_time(session)
        ids = [member.delivery_id for member in culprits]
        deliveries: Sequence[Delivery] = await repository.lock_deliveries(session, self._program_id, ids)
        for delivery in deliveries:
            if DeliveryState(delivery.state) not in repository.IN_BATCH:
                continue
            delivery.state = DeliveryState.QUARANTINED
            delivery.batch_id = self._batch_id
            delivery.reason = self._reasons[str(delivery.destination)]
            delivery.updated_at = now
            await outbox.raise_alert(
                session,
                alerts.QUARANTINED,
                str(delivery.id),
                severity=Severity.WARNING,
                program_id=self._program_id,
                message=f"payout {delivery.id} to {delivery.destination} can't be paid: {delivery.reason}",
                remedy=f"Once it can be paid: `guerdon payout retry {delivery.id}`. Or give the points back: "
                f"`guerdon payout return {delivery.id}`.",
            )
            log.warning("payouts.quarantined", payout=str(delivery.id), reason=delivery.reason)


async def release(
    session: PlatformSession, treasury: Treasury, batch: Batch, members: Sequence[BatchMember], *, fee_wei: int = 0
) -> None:
    """Give back what was reserved for members that leave a batch: treasury funds, and gas but for their share of the fee that
    the batch cost all the same (SAFETY S25). The treasury is locked.
    """
    total = sum(member.amount_atomic for member in members)
    treasuries.release(treasury, total, reserved_since=batch.opened_at, now=await transaction_time(session))
    for program_id in sorted({member.program_id for member in members}):
        theirs = [member for member in members if member.program_id == program_id]
        await settle_gas(session, treasury.network, batch, theirs, fee_wei)
    await session.flush()


async def settle_gas(session: PlatformSession, network: str, batch: Batch, members: Sequence[BatchMember], fee_wei: int) -> None:
    """Count what a program's members of a batch really cost, in place of what was reserved for them."""
    change = shared_cost(fee_wei, len(members), batch.size) - sum(member.gas_reserved_wei for member in members)
    if change:
        await repository.add_gas(session, members[0].program_id, network, gas_day(batch.opened_at), change)


async def quarantine_dead(deps: PayoutDeps, batch_id: UUID, reason: str) -> None:
    """Quarantine everything in a frozen batch that can never land; that each payout was in it stays recorded."""
    async with deps.database.platform() as session:
        members = await repository_batches.members(session, batch_id, unsettled_only=True)
    reasons = {member.destination: reason for member in members}
    for program_id in by_program(members):
        await run_in_platform(deps.database, _Removal(deps, batch_id, program_id, reasons, from_state=BatchState.FROZEN))

    async def finish(session: PlatformSession) -> None:
        batch = await repository_batches.batch(session, batch_id, for_update=True)
        if batch is not None and not await repository_batches.members(session, batch_id, unsettled_only=True):
            batch.state = BatchState.DISSOLVED
            await outbox.resolve_alert(session, alerts.UNKNOWN, str(batch_id))

    await run_in_platform(deps.database, finish)
