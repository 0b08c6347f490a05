"""Batches that come from batches: which ones a batch stands in for on chain, and how one is taken apart (SAFETY S17).

Only the platform's rows are touched here: who is paid by which batch is `batch_members`; `advancing.py` shows it on the payouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from guerdon.kit import jobs, outbox
from guerdon.kit.database import PlatformSession, run_in_platform
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.payouts import alerts, repository, repository_batches, repository_split
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Batch, BatchState, Work
from guerdon.payouts.payments import Member, by_program, child_batch_id, gas_day, halves, shared_cost
from guerdon.payouts.quarantine import quarantine
from guerdon.payouts.rail import BatchStatus, Rail
from guerdon.txmanager.models import Treasury

log = structlog.get_logger("guerdon.payouts")


async def ancestors_to_name(deps: PayoutDeps, rail: Rail, batch_id: UUID) -> list[str] | None:
    """Ids on chain of every earlier batch of a batch's payouts that is not final there; None if the batch had to be changed.

    A payout that the chain proves to be paid by an earlier batch is taken out: it must not be paid again.
    """
    async with deps.database.platform() as session:
        ancestors = await repository_split.ancestors(session, batch_id)
    if not ancestors:
        return []
    statuses = await rail.statuses([ancestor.chain_batch_id for ancestor in ancestors])
    paid = {
        ancestor.batch_id: ancestor.chain_batch_id
        for ancestor in ancestors
        if statuses[ancestor.chain_batch_id] is BatchStatus.PAID
    }
    if paid:
        async with deps.database.platform() as session:
            twice = await repository_split.destinations_in(session, batch_id, list(paid))
        log.critical("payouts.already_paid", batch=str(batch_id), by=list(paid.values()))
        reason = f"already paid on chain by batch {', '.join(sorted(paid.values()))}"
        await quarantine(deps, batch_id, dict.fromkeys(twice, reason))
        return None
    return sorted({name for name, status in statuses.items() if status is BatchStatus.NEW})


async def split_closed(deps: PayoutDeps, batch_id: UUID) -> None:
    """Move half of a closed batch's payouts to a batch of their own."""

    async def split(session: PlatformSession) -> None:
        batch = await repository_batches.batch(session, batch_id, for_update=True)
        if batch is None or batch.state != BatchState.CLOSED:
            return
        _, moved = halves(await repository_batches.members(session, batch_id))
        if not moved:
            return
        child = _child(batch, 1, moved)
        # The same half of the same batch is moved once: what is left is another list with other halves.
        child.id = child_batch_id(batch_id, batch.size)
        await repository_batches.insert_batch(session, child)
        await repository_split.move_members(session, batch_id, child.id, moved)
        batch.size -= child.size
        batch.total_atomic -= child.total_atomic

    await run_in_platform(deps.database, split)


async def rename(session: PlatformSession, batch: Batch) -> None:
    """Give the payouts of a batch that was never frozen to a new one, as the chain has another list as paid under its name
    (SAFETY S21). The batch is locked.
    """
    members = await repository_batches.members(session, batch.id)
    heir = _child(batch, 0, members)
    heir.id = uuid7()
    batch.state, batch.size, batch.total_atomic = BatchState.DISSOLVED, 0, 0
    await session.flush()
    if members:
        await repository_batches.insert_batch(session, heir)
        await repository_split.move_members(session, batch.id, heir.id, members)
        await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID)


async def replace(deps: PayoutDeps, batch_id: UUID, *, split: bool) -> None:
    """Give the payouts of a frozen batch that can never land to one or two new batches, which supersede it when frozen."""

    async def make_children(session: PlatformSession) -> None:
        batch = await repository_batches.batch(session, batch_id, for_update=True)
        if batch is None or batch.state != BatchState.FROZEN:
            return
        members = await repository_batches.members(session, batch_id, unsettled_only=True)
        await _charge(session, batch, members)
        for part, theirs in enumerate(halves(members) if split else (members, [])):
            if theirs:
                child = _child(batch, part, theirs)
                await repository_batches.insert_batch(session, child)
                await repository_split.copy_members(session, batch_id, child.id, theirs)
        await repository_split.settle_all(session, batch_id)
        batch.state = BatchState.DISSOLVED
        await outbox.resolve_alert(session, alerts.UNKNOWN, str(batch_id))
        await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID)

    await run_in_platform(deps.database, make_children)


async def _charge(session: PlatformSession, batch: Batch, members: Sequence[Member]) -> None:
    """What the batch's transaction cost is its programs' to bear, though it paid nobody; what is reserved for them goes on with
    them (SAFETY S25).
    """
    fee_wei = await repository_batches.fee_paid(session, batch)
    if not fee_wei:
        return
    treasury = await session.get_one(Treasury, batch.treasury_id)
    for program_id, theirs in by_program(members).items():
        cost = shared_cost(fee_wei, len(theirs), batch.size)
        await repository.add_gas(session, program_id, treasury.network, gas_day(batch.opened_at), cost)


def _child(parent: Batch, part: int, members: Sequence[Member]) -> Batch:
    return Batch(
        id=child_batch_id(parent.id, part),
        treasury_id=parent.treasury_id,
        state=BatchState.CLOSED,
        size=len(members),
        total_atomic=sum(member.amount_atomic for member in members),
        supersedes=[],
        opened_at=parent.opened_at,
    )
