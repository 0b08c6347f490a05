"""What nobody woke is woken here, every few seconds: balances are read, forgotten payouts and batches found (SAFETY S23)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from guerdon.chains.port import ChainUnavailableError
from guerdon.kit import jobs
from guerdon.kit.database import PlatformSession, run_in_platform, transaction_time
from guerdon.kit.failures import forget_unseen, note_failure
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.ledger.models import DeliveryState
from guerdon.payouts import alerts, repository_batches, repository_drops, repository_read
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import open_rail
from guerdon.payouts.models import Work
from guerdon.payouts.models_drops import WORK as DROPS
from guerdon.programs import funding, repository_funding
from guerdon.txmanager import repository_treasuries, treasuries
from guerdon.txmanager.alerts import FEE_OVER_CAP
from guerdon.txmanager.sightings import look_at_networks
from guerdon.txmanager.treasuries import Finality

_SEEN_AGAIN = (alerts.TOO_LARGE, alerts.UNFUNDED, FEE_OVER_CAP)
"""Alerts that are raised anew as long as their cause stands, and by nobody closed."""

log = structlog.get_logger("guerdon.payouts")


async def sweep(deps: PayoutDeps) -> timedelta:
    """Look at everything unfinished; when to come again."""
    await look_at_networks(deps.database, deps.chain, deps.solana)
    await _refresh_treasuries(deps)
    await run_in_platform(deps.database, lambda session: _wake_forgotten(deps, session))
    return timedelta(seconds=deps.terms.sweep_seconds)


async def _refresh_treasuries(deps: PayoutDeps) -> None:
    async with deps.database.platform() as session:
        known = await repository_treasuries.treasuries(session)
    for treasury, _, _ in known:
        try:
            rail = await open_rail(deps, treasury)
            if rail is None:
                continue
            finality = await rail.finality()
        except ChainUnavailableError as error:
            log.warning("payouts.sweep.chain_unavailable", network=treasury.network, error=str(error))
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await note_failure(deps.database, "reading a treasury", f"{treasury.address} on {treasury.network}", error)
            continue

        async def take_over(session: PlatformSession, treasury_id: UUID = treasury.id, seen: Finality = finality) -> None:
            await treasuries.refresh(session, treasury_id, seen)

        await run_in_platform(deps.database, take_over)


async def _wake_forgotten(deps: PayoutDeps, session: PlatformSession) -> None:
    stale = await transaction_time(session) - timedelta(seconds=deps.terms.sweep_seconds)
    await forget_unseen(session, _SEEN_AGAIN)
    await _resume_idle_treasuries(session)
    if await repository_batches.closed_batches(session) or await repository_batches.next_ripe(session) is not None:
        await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID)
    if await repository_batches.frozen_batches(session):
        await jobs.wake(session, Work.ADVANCE, PLATFORM_PROGRAM_ID)
    if await repository_funding.pending(session):
        await jobs.wake(session, funding.WORK, PLATFORM_PROGRAM_ID)
    if await repository_drops.is_anything_unfinished(session):
        await jobs.wake(session, DROPS, PLATFORM_PROGRAM_ID)
    for program_id in await repository_read.programs_waiting(session, DeliveryState.APPROVED, stale):
        await jobs.wake(session, Work.RESERVE, program_id)


async def _resume_idle_treasuries(session: PlatformSession) -> None:
    """A treasury that paused by itself resumes when a batch can be paid; without a batch to try, the next one tells."""
    for treasury_id in await repository_batches.idle_paused_treasuries(session):
        await treasuries.resume(session, treasury_id)
