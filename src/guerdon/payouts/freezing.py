"""From a closed batch to a transaction: simulate, take out whom it can't pay, fix the list for ever, ask txmanager to send it.

Why a batch can't be paid is found out in `simulation.py`; taking payouts out of it is `quarantine.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

import structlog

from guerdon.chains.port import ChainUnavailableError
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, run_in_platform, transaction_time
from guerdon.kit.failures import each_apart, note_failure
from guerdon.kit.outbox import Severity
from guerdon.payouts import repository_batches, repository_import, simulation, splitting
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import open_rail
from guerdon.payouts.errors import PaidBeforeError
from guerdon.payouts.models import Batch, BatchState, Work
from guerdon.payouts.payments import Member, merged
from guerdon.payouts.quarantine import quarantine
from guerdon.payouts.rail import EnvironmentProblem, Rail
from guerdon.payouts.simulation import Culprits, Inseparable
from guerdon.payouts.solana import repository as opened
from guerdon.txmanager import service as txmanager
from guerdon.txmanager import treasuries
from guerdon.txmanager.models import Treasury

log = structlog.get_logger("guerdon.payouts")


class Frozen(Enum):
    """What became of a closed batch in one try."""

    FROZEN = auto()
    CHANGED = auto()
    """It was taken apart, or somebody else moved it on: look again."""
    WAITS = auto()
    """Nothing can be paid now; its turn comes again by itself."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A closed batch as it was read: simulated so, and frozen only if it is still so."""

    batch: Batch
    members: list[Member]
    treasury: Treasury


async def close_and_freeze(deps: PayoutDeps) -> datetime | None:
    """Close the batches that are due, and freeze all closed ones; when to come again, if anything is left."""
    window = timedelta(seconds=deps.terms.batch_window_seconds)

    async def close(session: PlatformSession) -> list[tuple[UUID, UUID]]:
        await repository_batches.close_ripe(session, await transaction_time(session) - window)
        return [(batch.treasury_id, batch.id) for batch in await repository_batches.closed_batches(session)]

    waiting = False

    async def freeze(place: tuple[UUID, UUID]) -> None:
        nonlocal waiting
        waiting |= await _freeze_until_settled(deps, place[1]) is Frozen.WAITS

    # A treasury whose chain does not answer delays no other.
    await each_apart(await run_in_platform(deps.database, close), lambda place: place[0], freeze)
    async with deps.database.platform() as session:
        opened_at, now = await repository_batches.next_ripe(session), await transaction_time(session)
    due = [now + timedelta(seconds=deps.terms.wait_seconds)] if waiting else []
    return min([*due, *([] if opened_at is None else [opened_at + window])], default=None)


async def _freeze_until_settled(deps: PayoutDeps, batch_id: UUID) -> Frozen:
    outcome = Frozen.CHANGED
    while outcome is Frozen.CHANGED:
        try:
            outcome = await _freeze(deps, batch_id)
        except ChainUnavailableError as error:
            log.warning("payouts.freeze.chain_unavailable", batch=str(batch_id), error=str(error))
            return Frozen.WAITS
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await note_failure(deps.database, "freezing a batch", str(batch_id), error)
            return Frozen.WAITS
    return outcome


async def _freeze(deps: PayoutDeps, batch_id: UUID) -> Frozen:
    ready = await _read(deps, batch_id)
    if ready is None:
        return Frozen.FROZEN
    if not ready.members:
        await _dissolve_empty(deps, batch_id)
        return Frozen.FROZEN
    if ready.treasury.paused_at is not None and not ready.treasury.resumes_by_itself:
        return Frozen.WAITS
    rail = await open_rail(deps, ready.treasury)
    if rail is None:
        return Frozen.WAITS
    supersedes = await splitting.ancestors_to_name(deps, rail, batch_id)
    if supersedes is None:
        return Frozen.CHANGED
    refusal = await rail.simulate(batch_id.bytes, supersedes, merged(ready.members))
    if refusal is None:
        await _resume(deps, ready.treasury)
        return await _fix(deps, rail, ready, supersedes)
    if refusal.is_taken:
        return await _rename(deps, rail, ready)
    finding = await simulation.explain(rail, batch_id, supersedes, merged(ready.members), refusal)
    return await _act_on(deps, ready, finding)


async def _read(deps: PayoutDeps, batch_id: UUID) -> _Ready | None:
    async with deps.database.platform() as session:
        batch = await repository_batches.batch(session, batch_id)
        if batch is None or batch.state != BatchState.CLOSED:
            return None
        treasury = await session.get_one(Treasury, batch.treasury_id, populate_existing=True)
        return _Ready(batch, await repository_batches.members(session, batch_id), treasury)


async def _dissolve_empty(deps: PayoutDeps, batch_id: UUID) -> None:
    async def dissolve(session: PlatformSession) -> None:
        batch = await repository_batches.batch(session, batch_id, for_update=True)
        if batch is not None and batch.state == BatchState.CLOSED and not await repository_batches.members(session, batch_id):
            batch.state, batch.size, batch.total_atomic = BatchState.DISSOLVED, 0, 0

    await run_in_platform(deps.database, dissolve)


async def _fix(deps: PayoutDeps, rail: Rail, ready: _Ready, supersedes: Sequence[str]) -> Frozen:
    """Freeze what was simulated and queue its transaction, in one go (SAFETY S16); only the platform's rows are touched (S15)."""
    payments = merged(ready.members)
    batch_id = ready.batch.id
    call = rail.transaction(batch_id.bytes, supersedes, payments)

    async def freeze(session: PlatformSession) -> Frozen:
        batch = await repository_batches.batch(session, batch_id, for_update=True)
        if (
            batch is None
            or batch.state != BatchState.CLOSED
            or await repository_batches.members(session, batch_id) != ready.members
        ):
            return Frozen.CHANGED
        batch.state = BatchState.FROZEN
        batch.frozen_at = await transaction_time(session)
        batch.size = len(ready.members)
        batch.total_atomic = sum(payment.amount_atomic for payment in payments)
        batch.chain_batch_id = rail.name_of_batch(batch_id.bytes, payments)
        batch.supersedes = list(supersedes)
        batch.intent_id = await txmanager.queue(
            session,
            key_id=ready.treasury.key_id,
            network=ready.treasury.network,
            kind="pay",
            to=call.to,
            data=call.data,
            value_wei=call.value,
            ref=batch_id,
            work_kind=Work.ADVANCE,
            intent_id=call.intent_id,
        )
        await opened.note_opened(session, ready.treasury, call.opens, batch_id)
        return Frozen.FROZEN

    return await run_in_platform(deps.database, freeze)


async def _rename(deps: PayoutDeps, rail: Rail, ready: _Ready) -> Frozen:
    """The chain has another list as paid under this batch's name: what that one was has to be in the books before anything else
    of it is paid. Raises `PaidBeforeError`.
    """
    name = rail.name_of_batch(ready.batch.id.bytes, merged(ready.members))

    async def rename(session: PlatformSession) -> Frozen:
        batch = await repository_batches.batch(session, ready.batch.id, for_update=True)
        if batch is None or batch.state != BatchState.CLOSED:
            return Frozen.CHANGED
        if await repository_import.batch_by_chain_id(session, batch.treasury_id, name) is None:
            raise PaidBeforeError(details={"batch": str(batch.id), "onChain": name})
        await splitting.rename(session, batch)
        return Frozen.FROZEN

    return await run_in_platform(deps.database, rename)


async def _act_on(deps: PayoutDeps, ready: _Ready, finding: simulation.Finding) -> Frozen:
    match finding:
        case EnvironmentProblem():
            await pause_for(deps, ready.treasury, finding)
            return Frozen.WAITS
        case Culprits():
            await quarantine(deps, ready.batch.id, finding.reasons)
            return Frozen.CHANGED
        case Inseparable():
            await splitting.split_closed(deps, ready.batch.id)
            return Frozen.CHANGED


async def pause_for(deps: PayoutDeps, treasury: Treasury, problem: EnvironmentProblem) -> None:
    """Nobody can be paid: the treasury waits with the reason, nobody is quarantined, and it goes on by itself (SAFETY S22).

    The key as such is not paused: it signs the approval that may be what is missing, and its queued transactions are
    simulated once more before they get a nonce.
    """

    async def pause(session: PlatformSession) -> None:
        await treasuries.pause_until_it_pays(session, treasury.id, problem.reason, await transaction_time(session))
        if problem.allowance_missing:
            await treasuries.ensure_approval(session, treasury)
        await outbox.raise_alert(
            session,
            treasuries.CANNOT_PAY_ALERT,
            str(treasury.id),
            severity=Severity.CRITICAL,
            message=f"treasury {treasury.address} on {treasury.network} can't pay: {problem.reason}",
            remedy=problem.remedy,
        )

    await run_in_platform(deps.database, pause)
    log.error("payouts.treasury_cannot_pay", treasury=str(treasury.id), reason=problem.reason)


async def _resume(deps: PayoutDeps, treasury: Treasury) -> None:
    """What stopped the treasury is over."""
    if treasury.paused_at is None or not treasury.resumes_by_itself:
        return

    async def resume(session: PlatformSession) -> None:
        await treasuries.resume(session, treasury.id)

    await run_in_platform(deps.database, resume)
