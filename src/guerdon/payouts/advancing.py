"""From frozen to the end: payouts show where their batch's transaction stands, and what the chain finally says of it is acted on.

Delivery itself is `settling.py`; the transaction is followed by txmanager, which wakes this work with every change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from guerdon.chains.port import ChainUnavailableError
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, ProgramSession, run_in_platform, run_in_program, transaction_time
from guerdon.kit.failures import each_apart, note_failure
from guerdon.kit.outbox import Severity
from guerdon.ledger.models import DeliveryState
from guerdon.payouts import alerts, repository, repository_batches, repository_split, splitting
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import open_rail
from guerdon.payouts.freezing import pause_for
from guerdon.payouts.models import Batch, BatchState
from guerdon.payouts.payments import Member, by_program, merged
from guerdon.payouts.quarantine import quarantine_dead
from guerdon.payouts.rail import BatchStatus, Rail
from guerdon.payouts.settling import settle
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.models import Intent, IntentState, Treasury
from guerdon.txmanager.treasuries import Finality

_LOOK_AGAIN: Final = timedelta(seconds=2)

log = structlog.get_logger("guerdon.payouts")


@dataclass(frozen=True, slots=True)
class Flight:
    """A frozen batch and the transaction that carries it, as they were read."""

    batch: Batch
    intent: Intent


def shown_state(intent: Intent) -> DeliveryState:
    """What payouts are, given where their batch's transaction stands. A revert counts when it is final, not before."""
    match IntentState(intent.state):
        case IntentState.QUEUED | IntentState.BOUND:
            return DeliveryState.RESERVED
        case IntentState.SIGNED:
            return DeliveryState.SIGNED
        case IntentState.SENT:
            return DeliveryState.SENT
        case IntentState.EXPIRED:
            return DeliveryState.EXPIRED
        case IntentState.INCLUDED | IntentState.FINAL:
            return DeliveryState.CONFIRMED if intent.succeeded else DeliveryState.SENT
        case IntentState.FAILED:
            return DeliveryState.FAILED_ONCHAIN
        case IntentState.VOID if intent.nonce is None:
            return DeliveryState.RESERVED
        case IntentState.VOID | IntentState.UNKNOWN:
            return DeliveryState.UNKNOWN


async def advance(deps: PayoutDeps) -> timedelta | None:
    """Move every frozen batch on as far as its transaction allows; when to look again, if something could not be done."""
    async with deps.database.platform() as session:
        flights = [Flight(batch, intent) for batch, intent in await repository_batches.frozen_batches(session)]
    again = False
    chain = _Chain(deps)

    async def move(flight: Flight) -> None:
        nonlocal again
        try:
            again |= not await _advance_one(deps, chain, flight)
        except ChainUnavailableError as error:
            log.warning("payouts.advance.chain_unavailable", batch=str(flight.batch.id), error=str(error))
            again = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await note_failure(deps.database, "moving a batch on", str(flight.batch.id), error)
            again = True

    # A treasury whose chain does not answer delays no other.
    await each_apart(flights, lambda flight: flight.batch.treasury_id, move)
    return _LOOK_AGAIN if again else None


class _Chain:
    """What one run has asked of the chain: asked once for all batches of a treasury."""

    def __init__(self, deps: PayoutDeps) -> None:
        self._deps = deps
        self._rails: dict[UUID, tuple[Treasury, Rail | None]] = {}
        self._finalities: dict[UUID, Finality] = {}

    async def of(self, treasury_id: UUID) -> tuple[Treasury, Rail | None]:
        """A treasury and what pays from it."""
        if treasury_id not in self._rails:
            async with self._deps.database.platform() as session:
                treasury = await session.get_one(Treasury, treasury_id, populate_existing=True)
            self._rails[treasury_id] = treasury, await open_rail(self._deps, treasury)
        return self._rails[treasury_id]

    async def finality(self, treasury_id: UUID, rail: Rail, block_number: int) -> Finality | None:
        """What the treasury held when the chain was final, at `block_number` or later; None if it is not that far."""
        known = self._finalities.get(treasury_id)
        if known is None or known.block_number < block_number:
            known = self._finalities[treasury_id] = await rail.finality()
        # Another node than the one that told txmanager may be behind it.
        return known if known.block_number >= block_number else None


async def _advance_one(deps: PayoutDeps, chain: _Chain, flight: Flight) -> bool:
    """Whether nothing is left to do until the transaction moves."""
    await _show(deps, flight)
    match IntentState(flight.intent.state):
        case IntentState.FINAL:
            return await _deliver(deps, chain, flight)
        case IntentState.FAILED:
            return await _recover(deps, chain, flight)
        case IntentState.VOID if flight.intent.nonce is None:
            # Cancelled before it had a nonce: it was never signed.
            await splitting.replace(deps, flight.batch.id, split=False)
        case IntentState.QUEUED | IntentState.EXPIRED if txmanager.would_revert(flight.intent):
            await _take_back(deps, flight)
        case IntentState.VOID | IntentState.UNKNOWN:
            await _tell_operator(deps, flight)
        case _:
            pass
    return True


async def _show(deps: PayoutDeps, flight: Flight) -> None:
    """Write the transaction's state on the payouts, one program at a time (SAFETY S2)."""
    batch, intent = flight.batch, flight.intent
    state = shown_state(intent)
    shown = f"{state}:{intent.transaction_hash or ''}:{intent.block_number or ''}"
    if batch.delivery_state == shown:
        return
    async with deps.database.platform() as session:
        members = await repository_batches.members(session, batch.id, unsettled_only=True)
    landed = state is DeliveryState.CONFIRMED
    values = {
        "state": state.value,
        "transaction_hash": intent.transaction_hash,
        "block_number": intent.block_number if landed else None,
        "reason": intent.error if state in {DeliveryState.FAILED_ONCHAIN, DeliveryState.UNKNOWN} else None,
    }
    for program_id, theirs in by_program(members).items():

        async def move(session: ProgramSession, theirs: list[Member] = theirs) -> None:
            await repository.move_on(
                session,
                session.program_id,
                [member.delivery_id for member in theirs],
                batch_id=batch.id,
                intent_state=intent.state,
                values={**values, "now": await transaction_time(session)},
            )

        await run_in_program(deps.database, program_id, move)

    async def note(session: PlatformSession) -> None:
        await repository_batches.note_delivery_state(session, batch.id, shown)
        if state is not DeliveryState.UNKNOWN:
            await outbox.resolve_alert(session, alerts.UNKNOWN, str(batch.id))

    await run_in_platform(deps.database, note)


async def _deliver(deps: PayoutDeps, chain: _Chain, flight: Flight) -> bool:
    treasury, rail = await chain.of(flight.batch.treasury_id)
    if rail is None or flight.intent.block_number is None:
        return False
    finality = await chain.finality(treasury.id, rail, flight.intent.block_number)
    if finality is None:
        return False
    name = flight.batch.chain_batch_id or ""
    if (await rail.statuses([name], finality.block_number))[name] is not BatchStatus.PAID:
        await _tell_operator(deps, flight, "its transaction is final, but the chain does not have it as paid")
        return False
    await settle(deps, flight.batch, flight.intent, finality)
    return True


async def _recover(deps: PayoutDeps, chain: _Chain, flight: Flight) -> bool:
    """A batch that reverted for good: its payouts go into new batches, apart, unless nobody can be paid now (SAFETY S22)."""
    treasury, rail = await chain.of(flight.batch.treasury_id)
    if rail is None:
        return False
    async with deps.database.platform() as session:
        members = await repository_batches.members(session, flight.batch.id, unsettled_only=True)
        attempts = await repository_split.lonely_attempts(session, flight.batch.id)
    payments = merged(members)
    problem = await rail.environment_problem(payments) if payments else None
    if problem is not None:
        await pause_for(deps, treasury, problem)
        return False
    if len(payments) == 1 and attempts >= deps.terms.attempts:
        await quarantine_dead(deps, flight.batch.id, flight.intent.error or "reverted on chain")
        return True
    await splitting.replace(deps, flight.batch.id, split=len(payments) > 1)
    return True


async def _take_back(deps: PayoutDeps, flight: Flight) -> None:
    """What could be paid when it was frozen can't be paid now, and it has no nonce yet: cancel it and look at it anew."""

    async def cancel(session: PlatformSession) -> None:
        await txmanager.cancel(session, flight.intent.id, "its batch can't be paid any more")

    await run_in_platform(deps.database, cancel)


async def _tell_operator(deps: PayoutDeps, flight: Flight, problem: str | None = None) -> None:
    """Nothing is given back; an operator settles it with proof (DESIGN section 6, rule 6)."""
    batch, intent = flight.batch, flight.intent
    void = intent.state == IntentState.VOID
    message = problem or (
        "another transaction is final at its nonce" if void else "its transaction is neither in a block nor provably dead"
    )
    remedy = (
        f"`guerdon payout retry --batch {batch.id}` pays it anew under the chain's guard, "
        f"`guerdon payout return --batch {batch.id}` gives the points back."
        if void
        else f"Wait, or have its transaction killed: `guerdon payout kill {batch.id}`."
    )

    async def alert(session: PlatformSession) -> None:
        locked = await repository_batches.batch(session, batch.id, for_update=True)
        if locked is None or locked.state != BatchState.FROZEN:
            return  # an operator was quicker, and has closed the alert
        await outbox.raise_alert(
            session,
            alerts.UNKNOWN,
            str(batch.id),
            severity=Severity.CRITICAL,
            message=f"batch {batch.id} of {batch.size} payouts is unknown: {message}",
            remedy=remedy,
            details={"intent": str(intent.id), "transaction": intent.transaction_hash, "error": intent.error},
        )

    await run_in_platform(deps.database, alert)
