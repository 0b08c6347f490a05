"""From a fixed root to a final one: funds are reserved and one transaction takes them and publishes the root, exactly once.

The contract takes each number of a season once (SAFETY S31), and the engine sends stored bytes only, so nothing here can pay
twice; what failed for good is made anew, ever more slowly.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

from guerdon.chains import contracts, drop_contract
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.outbox import Severity
from guerdon.ledger.models import Asset
from guerdon.payouts import alerts_drops, drops, repository_drop_leaves
from guerdon.payouts import repository as payouts_repository
from guerdon.payouts import repository_drops as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.errors_drops import DropOnItsWayError
from guerdon.payouts.models_drops import WORK, Drop, DropSeason, DropState, SeasonState
from guerdon.payouts.payments import gas_day
from guerdon.payouts.terms_drops import DropTerms
from guerdon.programs import repository as programs
from guerdon.txmanager import backing, repository_treasuries, tokens, treasuries
from guerdon.txmanager import repository as txmanager_repository
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.models import FINISHED, Intent, IntentState, Treasury

PUBLISH: Final = "publish_drop"
_GONE: Final = (IntentState.FAILED, IntentState.VOID)


def retry_after(terms: DropTerms, attempts: int) -> timedelta:
    """How long to wait before the next transaction, after so many failed."""
    return timedelta(seconds=min(terms.retry_seconds * 2 ** min(attempts - 1, 20), terms.longest_retry_seconds))


async def publish(deps: PayoutDeps, terms: DropTerms, season: DropSeason, drop: Drop) -> bool:
    """Reserve what a drop needs and queue its transaction; without funds it waits and goes on by itself once funded.

    Whether there is more to do at once.
    """
    rpc = await deps.chain(season.network)
    async with deps.database.platform() as session:
        treasury = await session.get_one(Treasury, season.treasury_id, populate_existing=True)
    seen = await drops.on_chain(deps, season)
    if seen.number >= drop.number:
        await _tell_differs(deps, season, f"root {seen.number} is on chain, and the books know of no transaction for it")
        return False
    allowance = await tokens.allowance(rpc, season.token_address, treasury.address, season.contract)

    async def reserve(session: PlatformSession) -> bool:
        # All of the asset's: what backs its points is compared.
        purses = await backing.lock_vaults(session, await session.get_one(Asset, season.asset_id))
        treasury = next(purse for purse in purses if purse.id == season.treasury_id)
        now = await transaction_time(session)
        locked_season = await repository.lock_season(session, drop.program_id, season.id)
        locked = await repository.lock_drop(session, drop.program_id, drop.id, DropState.COMMITTED)
        if locked is None or (locked.retry_at is not None and locked.retry_at > now):
            return False
        if _is_too_late(locked_season, locked, now.timestamp()):
            await drops.withdraw(session, treasury, locked, "its window ended before it could be published")
            return False
        why = await _why_not(session, treasury, locked, season)
        if why is not None:
            await _waits(session, locked, why)
            return False
        async with program_scope(session, drop.program_id):
            stale = await repository_drop_leaves.lock_stale(session, locked, 1)
        if stale:
            # Read again in the transaction that reserves (SAFETY S5): these are left out first.
            locked.state, locked.root, locked.updated_at = DropState.COLLECTED, None, now
            return True
        if allowance < locked.added_atomic:
            await _approve(session, terms, treasury, season)
        treasuries.reserve(treasury, locked.added_atomic, now)
        locked.intent_id = await txmanager.queue(
            session,
            key_id=treasury.key_id,
            network=season.network,
            kind=PUBLISH,
            to=season.contract,
            data=drop_contract.publish_call(season.token_address, season.id.bytes, drops.root_of(locked)),
            ref=uuid5(locked.id, f"publish {locked.attempts}"),
            work_kind=WORK,
        )
        locked.state, locked.reserved_at, locked.reason = DropState.PUBLISHING, now, None
        locked.updated_at = now
        return False

    return await run_in_platform(deps.database, reserve)


def _is_too_late(season: DropSeason, drop: Drop, now: float) -> bool:
    """Whether the contract would refuse the root for ever."""
    ends = season.closes_at if drop.number > 1 else drop.closes_at
    return now >= ends.timestamp() or season.state not in {SeasonState.PREPARING, SeasonState.OPEN}


async def _why_not(session: PlatformSession, treasury: Treasury, drop: Drop, season: DropSeason) -> str | None:
    now = await transaction_time(session)
    own = drop_contract.season_id(season.chain_id, season.contract, treasury.address, season.token_address, season.id.bytes)
    if own != season.chain_season:
        return f"treasury {treasury.address} is not the one that the season was made for"
    if treasury.paused_at is not None:
        return f"treasury {treasury.address} is paused: {treasury.pause_reason}"
    if treasuries.spendable(treasury, now) < drop.added_atomic:
        return f"treasury {treasury.address} has not {drop.added_atomic} free atomic units, or may not pay them now"
    missing = await backing.unbacked(session, await session.get_one(Asset, season.asset_id))
    if missing > 0:
        # Its rate is as old as its season: at a lower one of now, others may have been promised what it would take.
        return f"the treasuries hold too little for {missing} of the points that programs are promised"
    budget = await programs.gas_budget(session, drop.program_id)
    if (
        budget is not None
        and await payouts_repository.gas_spent(session, drop.program_id, season.network, gas_day(now)) >= budget
    ):
        return "the program's gas budget of today is spent"
    return None


async def _waits(session: PlatformSession, drop: Drop, why: str) -> None:
    drop.reason, drop.updated_at = why, await transaction_time(session)
    await outbox.raise_alert(
        session,
        alerts_drops.CANNOT_PUBLISH,
        str(drop.id),
        severity=Severity.WARNING,
        program_id=drop.program_id,
        message=f"drop {drop.id} is not published: {why}",
        remedy=f"It goes on by itself once that is mended. To give its points back instead: `guerdon drop cancel {drop.id}`.",
    )


async def _approve(session: PlatformSession, terms: DropTerms, treasury: Treasury, season: DropSeason) -> None:
    """Let the contract take the treasury's tokens, which it does for the treasury's own calls alone (SAFETY S28)."""
    latest: Intent | None = None
    number = 0
    while known := await txmanager_repository.intent_by_ref(session, "approve", _approval(treasury.id, season, number)):
        latest, number = known, number + 1
    if latest is not None:
        again = latest.updated_at + retry_after(terms, number)
        if latest.state not in FINISHED or await transaction_time(session) < again:
            return
    await txmanager.queue(
        session,
        key_id=treasury.key_id,
        network=season.network,
        kind="approve",
        to=season.token_address,
        data=contracts.approve_call(season.contract, treasuries.UNLIMITED),
        ref=_approval(treasury.id, season, number),
        work_kind=WORK,
    )


def _approval(treasury_id: UUID, season: DropSeason, number: int) -> UUID:
    return uuid5(treasury_id, f"approval of {season.contract.lower()} {number}")


async def follow(deps: PayoutDeps, terms: DropTerms, season: DropSeason, drop: Drop) -> None:
    """Where the transaction stands: final, failed for good, or held back."""
    async with deps.database.platform() as session:
        intent = None if drop.intent_id is None else await session.get(Intent, drop.intent_id, populate_existing=True)
    if intent is None:
        return
    if intent.state == IntentState.FINAL:
        await _settle(deps, season, drop, intent)
    elif intent.state in _GONE:
        await _fail(deps, terms, season, drop, intent)
    elif intent.state == IntentState.QUEUED and intent.held_back is not None:
        await _held_back(deps, season, drop, intent)


async def _settle(deps: PayoutDeps, season: DropSeason, drop: Drop, intent: Intent) -> None:
    rpc = await deps.chain(season.network)
    block = intent.block_number or 0
    async with deps.database.platform() as session:
        treasury = await session.get_one(Treasury, season.treasury_id, populate_existing=True)
    finality = await tokens.finality(rpc, season.token_address, treasury.address)
    if finality.block_number < block:
        return
    seen = await drops.on_chain(deps, season, hex(finality.block_number))
    if (seen.number, seen.root, seen.total) != (drop.number, drop.root, drop.total_atomic):
        await _tell_differs(deps, season, f"root {seen.number} on chain is not that of drop {drop.id}")
        return

    async def settle(session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, season.treasury_id)
        locked_season = await repository.lock_season(session, drop.program_id, season.id)
        locked = await repository.lock_drop(session, drop.program_id, drop.id, DropState.PUBLISHING)
        if locked is None:
            return
        now = await transaction_time(session)
        treasury.reserved -= locked.added_atomic
        treasuries.note_balance(treasury, finality)
        locked.state, locked.published_at, locked.updated_at, locked.reason = DropState.PUBLISHED, now, now, None
        if locked_season.published_block is None:
            locked_season.published_block, locked_season.scanned_block = block, block - 1
            locked_season.state = SeasonState.OPEN
        locked_season.total_atomic = locked.total_atomic
        locked_season.opens_at, locked_season.closes_at, locked_season.updated_at = locked.opens_at, locked.closes_at, now
        await payouts_repository.add_gas(session, drop.program_id, season.network, gas_day(now), intent.fee_paid_wei or 0)
        await outbox.resolve_alert(session, alerts_drops.CANNOT_PUBLISH, str(drop.id))
        told = {"drop": str(drop.id), "season": str(season.id), "root": locked.root, "transactionHash": intent.transaction_hash}
        await outbox.append(session, "drop.published", told, program_id=drop.program_id)

    await run_in_platform(deps.database, settle)


async def _fail(deps: PayoutDeps, terms: DropTerms, season: DropSeason, drop: Drop, intent: Intent) -> None:
    async def fail(session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, season.treasury_id)
        await repository.lock_season(session, drop.program_id, season.id)
        locked = await repository.lock_drop(session, drop.program_id, drop.id, DropState.PUBLISHING)
        if locked is None or locked.reserved_at is None or locked.intent_id != intent.id:
            return
        now = await transaction_time(session)
        treasuries.release(treasury, locked.added_atomic, reserved_since=locked.reserved_at, now=now)
        locked.attempts += 1
        locked.state, locked.retry_at = DropState.COMMITTED, now + retry_after(terms, locked.attempts)
        await payouts_repository.add_gas(session, drop.program_id, season.network, gas_day(now), intent.fee_paid_wei or 0)
        await _waits(session, locked, f"its transaction failed: {intent.error or intent.state}")

    await run_in_platform(deps.database, fail)


async def _held_back(deps: PayoutDeps, season: DropSeason, drop: Drop, intent: Intent) -> None:
    """It would revert now: it is tried again by the engine, until its window is over."""

    async def note(session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, season.treasury_id)
        locked_season = await repository.lock_season(session, drop.program_id, season.id)
        locked = await repository.lock_drop(session, drop.program_id, drop.id, DropState.PUBLISHING)
        if locked is None:
            return
        if _is_too_late(locked_season, locked, (await transaction_time(session)).timestamp()):
            try:
                await drops.withdraw(session, treasury, locked, "its window ended before it could be published")
            except DropOnItsWayError:
                return
        else:
            await _waits(session, locked, f"it would be refused now: {intent.error or intent.held_back}")

    seen = await drops.on_chain(deps, season)
    if seen.number >= drop.number:
        await _tell_differs(deps, season, f"root {seen.number} is on chain, and the books know of no transaction for it")
        return
    await run_in_platform(deps.database, note)


async def _tell_differs(deps: PayoutDeps, season: DropSeason, what: str) -> None:
    async def tell(session: PlatformSession) -> None:
        await outbox.raise_alert(
            session,
            alerts_drops.CLAIMS_DIFFER,
            str(season.id),
            severity=Severity.CRITICAL,
            program_id=season.program_id,
            message=f"season {season.id} on {season.network}: {what}",
            remedy="Nothing more is delivered or given back of it. Check the RPC address of the network; if this database is a "
            "restored copy, bring back what it does not know before anything else (`guerdon key list`).",
        )

    await run_in_platform(deps.database, tell)
