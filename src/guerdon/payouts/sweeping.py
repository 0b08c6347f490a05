"""What nobody woke is woken here, every few seconds: balances are read, forgotten payouts and batches found (SAFETY S23)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Gauge

from guerdon.chains.port import ChainUnavailableError
from guerdon.kit import jobs
from guerdon.kit.database import PlatformSession, run_in_platform
from guerdon.kit.failures import forget_old_failures, note_failure
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.ledger.models import DeliveryState
from guerdon.payouts import repository_batches, repository_read
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Work
from guerdon.txmanager import repository_treasuries, tokens, treasuries
from guerdon.txmanager.treasuries import Finality

log = structlog.get_logger("guerdon.payouts")

treasury_free = Gauge("guerdon_treasury_free_atomic", "What a treasury holds at finality and nothing is reserved of", ["asset"])


async def sweep(deps: PayoutDeps) -> timedelta:
    """Look at everything unfinished; when to come again."""
    await _refresh_treasuries(deps)
    await run_in_platform(deps.database, lambda session: _wake_forgotten(deps, session))
    return timedelta(seconds=deps.terms.sweep_seconds)


async def _refresh_treasuries(deps: PayoutDeps) -> None:
    async with deps.database.platform() as session:
        known = await repository_treasuries.treasuries(session)
    for treasury, asset, _ in known:
        if asset.token_address is None:
            continue
        try:
            finality = await tokens.finality(await deps.chain(treasury.network), asset.token_address, treasury.address)
        except ChainUnavailableError as error:
            log.warning("payouts.sweep.chain_unavailable", network=treasury.network, error=str(error))
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await note_failure(deps.database, "reading a treasury", f"{treasury.address} on {treasury.network}", error)
            continue

        async def take_over(session: PlatformSession, treasury_id: UUID = treasury.id, seen: Finality = finality) -> int:
            refreshed = await treasuries.refresh(session, treasury_id, seen)
            return refreshed.balance_final - refreshed.reserved

        treasury_free.labels(asset.symbol).set(await run_in_platform(deps.database, take_over))


async def _wake_forgotten(deps: PayoutDeps, session: PlatformSession) -> None:
    now = deps.clock.now()
    stale = now - timedelta(seconds=deps.terms.sweep_seconds)
    unfinished = await repository_read.unfinished(session)
    await forget_old_failures(session)
    await _resume_idle_treasuries(session)
    if await repository_batches.closed_batches(session) or await repository_batches.next_ripe(session) is not None:
        await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID)
    if await repository_batches.frozen_batches(session):
        await jobs.wake(session, Work.ADVANCE, PLATFORM_PROGRAM_ID)
    forgotten = {row.program_id for row in unfinished if row.state == DeliveryState.APPROVED and row.oldest < stale}
    for program_id in sorted(forgotten):
        await jobs.wake(session, Work.RESERVE, program_id)


async def _resume_idle_treasuries(session: PlatformSession) -> None:
    """A treasury that paused by itself resumes when a batch can be paid; without a batch to try, the next one tells."""
    for treasury_id in await repository_batches.idle_paused_treasuries(session):
        await treasuries.resume(session, treasury_id)
