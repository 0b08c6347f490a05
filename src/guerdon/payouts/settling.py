"""Delivery: when a batch is final and paid on chain, the ledger, the treasury's books and the payouts say so, all at once.

One transaction a program (SAFETY S2, S24). Whether it is final and paid was asked in `advancing.py`.
"""

from __future__ import annotations

from uuid import UUID

from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.ledger import service as ledger
from guerdon.ledger.models import DeliveryState, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts, repository, repository_batches
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Batch, BatchState
from guerdon.payouts.payments import by_program
from guerdon.payouts.quarantine import settle_gas
from guerdon.txmanager import repository_treasuries
from guerdon.txmanager.models import Intent
from guerdon.txmanager.treasuries import Finality, note_balance


async def settle(deps: PayoutDeps, batch: Batch, intent: Intent, finality: Finality) -> None:
    """Deliver what is not delivered yet, program by program; then the batch is over."""
    async with deps.database.platform() as session:
        programs = list(by_program(await repository_batches.members(session, batch.id, unsettled_only=True)))
    for program_id in programs:
        await run_in_platform(deps.database, _Delivery(deps, batch, intent, finality, program_id))

    async def finish(session: PlatformSession) -> None:
        locked = await repository_batches.batch(session, batch.id, for_update=True)
        if locked is not None and not await repository_batches.members(session, batch.id, unsettled_only=True):
            locked.state = BatchState.PAID
            locked.delivery_state = DeliveryState.FINAL
            await outbox.resolve_alert(session, alerts.UNKNOWN, str(batch.id))

    await run_in_platform(deps.database, finish)


class _Delivery:
    """One program's part of a batch."""

    def __init__(self, deps: PayoutDeps, batch: Batch, intent: Intent, finality: Finality, program_id: UUID) -> None:
        self._deps = deps
        self._batch = batch
        self._intent = intent
        self._finality = finality
        self._program_id = program_id

    async def __call__(self, session: PlatformSession) -> None:
        now = await transaction_time(session)
        treasury = await repository_treasuries.lock_treasury(session, self._batch.treasury_id)
        members = await repository_batches.lock_unsettled(session, self._batch.id, self._program_id)
        if not members:
            return
        async with program_scope(session, self._program_id):
            owed = await repository.lock_owed(session, self._program_id, [member.delivery_id for member in members])
            await ledger.post(
                session,
                self._program_id,
                [Movement(PostingKind.DELIVER, one.delivery_id, one.asset_id, one.points, one.account_id) for one in owed],
                now,
            )
            await repository.finish(
                session,
                self._program_id,
                [one.delivery_id for one in owed],
                batch_id=self._batch.id,
                transaction_hash=self._intent.transaction_hash,
                block_number=self._intent.block_number,
                now=now,
            )
        total = sum(member.amount_atomic for member in members)
        treasury.reserved -= total
        note_balance(treasury, self._finality)
        await repository_batches.settle_members(session, self._batch.id, self._program_id)
        await settle_gas(session, treasury.network, self._batch, members, self._intent.fee_paid_wei or 0)
        await outbox.append(
            session,
            "payouts.delivered",
            {
                "batch": str(self._batch.id),
                "payouts": len(members),
                "amountAtomic": str(total),
                "transactionHash": self._intent.transaction_hash,
            },
            program_id=self._program_id,
        )
