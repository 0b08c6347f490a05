"""How an operator ends a quarantine, or settles a batch that can never land, with proof from the chain (SAFETY S23).

Three ends: the chain says it was paid, and it is delivered; it is paid anew by a batch that supersedes all earlier ones; or it
is given back, once no earlier batch can ever pay it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from guerdon.accounts import repository as accounts
from guerdon.kit import jobs, outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Delivery, DeliveryState, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts, quarantine, repository, repository_batches, repository_read, repository_split
from guerdon.payouts.claims.checks import payable_destination, require_still_proven
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import open_rail
from guerdon.payouts.errors import (
    AccountInDebtError,
    BatchNotFoundError,
    PayoutMayLandError,
    PayoutNotFoundError,
    PayoutNotStuckError,
    TreasuryShortError,
)
from guerdon.payouts.models import Batch, BatchState, Work
from guerdon.payouts.payments import Member
from guerdon.payouts.rail import BatchStatus
from guerdon.payouts.releasing import give_points_back
from guerdon.payouts.repository_split import Ancestor
from guerdon.payouts.reserving import put
from guerdon.txmanager import repository_treasuries, treasuries
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.models import Intent, IntentState, Treasury


class Settled(StrEnum):
    """What a remedy did."""

    RETRIED = "retried"
    RETURNED = "returned"
    ALREADY_PAID = "already_paid"
    """The chain has it as paid: it is delivered now, and nothing was sent."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the chain says, at finality, of every batch that a payout was ever in."""

    paid_by: UUID | None
    can_never_land: bool
    """Every batch is void on chain, or its transaction is final without having paid or was never signed."""
    batches: tuple[Ancestor, ...]


async def retry(deps: PayoutDeps, program_id: UUID, delivery_id: UUID, *, destination: str | None = None) -> Settled:
    """Pay a quarantined payout again, superseding every batch that it was in: to the account's present wallet, a claim to its own
    destination or to another proven address of the account (SAFETY S23).

    Raises `PayoutNotFoundError`, `PayoutNotStuckError`, `AccountInDebtError`, `TreasuryShortError`, and for a claim
    `AddressNotProvenError`, `AddressWaitsError`, `AddressDeniedError`.
    """
    treasury = await _treasury_of(deps, program_id, delivery_id)
    proof = await prove(deps, treasury, program_id, delivery_id)
    if proof.paid_by is None:
        await _ask_wallet(deps, program_id, delivery_id, destination)

    async def again(session: PlatformSession) -> Settled:
        locked = await repository_treasuries.lock_treasury(session, treasury.id)
        if proof.paid_by is not None:
            return await _deliver_proven(session, program_id, delivery_id, proof.paid_by)
        await _still_the_same(session, program_id, delivery_id, proof)
        return await _reserve_again(session, locked, program_id, delivery_id, destination)

    return await run_in_platform(deps.database, again)


async def give_back(deps: PayoutDeps, program_id: UUID, delivery_id: UUID) -> Settled:
    """Return a quarantined payout's points to its account, if the chain proves that no batch can ever pay it.

    Raises `PayoutNotFoundError`, `PayoutNotStuckError`, `PayoutMayLandError`.
    """
    treasury = await _treasury_of(deps, program_id, delivery_id)
    proof = await prove(deps, treasury, program_id, delivery_id)

    async def back(session: PlatformSession) -> Settled:
        await repository_treasuries.lock_treasury(session, treasury.id)
        if proof.paid_by is not None:
            return await _deliver_proven(session, program_id, delivery_id, proof.paid_by)
        await _still_the_same(session, program_id, delivery_id, proof)
        if not proof.can_never_land:
            raise PayoutMayLandError
        now = await transaction_time(session)
        async with program_scope(session, program_id):
            delivery = await _lock_quarantined(session, program_id, delivery_id)
            # What was reversed while the payout was stuck is repaid first (SAFETY S13).
            await give_points_back(session, delivery, DeliveryState.RETURNED, delivery.reason, now)
        await _close_alert(session, delivery_id)
        return Settled.RETURNED

    return await run_in_platform(deps.database, back)


async def release_dead_batch(deps: PayoutDeps, batch_id: UUID) -> list[tuple[UUID, UUID]]:
    """Quarantine the payouts of a batch whose transaction is void, so that each can be retried or returned.

    The (program, payout) of each that is quarantined from it, also by an earlier call. Raises `BatchNotFoundError`,
    `PayoutMayLandError`.
    """
    async with deps.database.platform() as session:
        batch = await repository_batches.batch(session, batch_id)
        if batch is None or batch.intent_id is None:
            raise BatchNotFoundError
        intent = await session.get_one(Intent, batch.intent_id, populate_existing=True)
        members = await repository_batches.members(session, batch_id)
    if intent.state != IntentState.VOID:
        raise PayoutMayLandError
    if batch.state == BatchState.FROZEN:
        await quarantine.quarantine_dead(deps, batch_id, intent.error or "its transaction can never land")
    stuck: list[tuple[UUID, UUID]] = []
    for member in members:
        async with deps.database.program(member.program_id) as session:
            delivery = await repository_read.payout(session, member.program_id, member.delivery_id)
        if delivery is not None and (delivery.state, delivery.batch_id) == (DeliveryState.QUARANTINED, batch_id):
            stuck.append((member.program_id, member.delivery_id))
    return stuck


async def kill(deps: PayoutDeps, batch_id: UUID) -> None:
    """Have a self-transfer sent at the nonce of a batch's transaction that does not land (SAFETY S23).

    Raises `BatchNotFoundError`, `IntentNotKillableError`.
    """

    async def ask(session: PlatformSession) -> None:
        batch = await repository_batches.batch(session, batch_id)
        if batch is None or batch.intent_id is None:
            raise BatchNotFoundError
        await txmanager.kill(session, batch.intent_id)

    await run_in_platform(deps.database, ask)


async def prove(deps: PayoutDeps, treasury: Treasury, program_id: UUID, delivery_id: UUID) -> Proof:
    """Ask the chain, at its finalized block, for every batch that a payout was ever in."""
    async with deps.database.platform() as session:
        batches = await repository_split.batches_of(session, program_id, delivery_id)
        spent = {one.batch_id: await _is_spent(session, one.batch_id) for one in batches}
    if not batches:
        return Proof(None, can_never_land=True, batches=())
    rail = await open_rail(deps, treasury)
    if rail is None:
        return Proof(None, can_never_land=False, batches=tuple(batches))
    statuses = await rail.statuses([one.chain_batch_id for one in batches])
    paid = [one.batch_id for one in batches if statuses[one.chain_batch_id] is BatchStatus.PAID]
    dead = all(statuses[one.chain_batch_id] is BatchStatus.VOID or spent[one.batch_id] for one in batches)
    return Proof(paid[0] if paid else None, can_never_land=dead and not paid, batches=tuple(batches))


async def _is_spent(session: PlatformSession, batch_id: UUID) -> bool:
    """Whether a batch's transaction is over for good: reverted and final, or void. Its bytes can never land then."""
    batch = await repository_batches.batch(session, batch_id)
    if batch is None or batch.intent_id is None:
        return False
    intent = await session.get_one(Intent, batch.intent_id, populate_existing=True)
    return intent.state in {IntentState.FAILED, IntentState.VOID}


async def _treasury_of(deps: PayoutDeps, program_id: UUID, delivery_id: UUID) -> Treasury:
    async with deps.database.program(program_id) as session:
        delivery = await repository_read.payout(session, program_id, delivery_id)
    if delivery is None:
        raise PayoutNotFoundError
    if delivery.state != DeliveryState.QUARANTINED:
        raise PayoutNotStuckError(details={"state": delivery.state})
    async with deps.database.platform() as session:
        treasury = await repository_treasuries.treasury_on(session, delivery.asset_id, str(delivery.network))
    if treasury is None:
        raise TreasuryShortError
    return treasury


async def _ask_wallet(deps: PayoutDeps, program_id: UUID, delivery_id: UUID, destination: str | None) -> None:
    """Before a claim is paid again, its destination's chain is asked where that is a contract wallet (SAFETY S7)."""
    async with deps.database.program(program_id) as session:
        delivery = await repository_read.payout(session, program_id, delivery_id)
    if delivery is not None and delivery.kind == "claim":
        await require_still_proven(deps, program_id, delivery, destination or str(delivery.destination))


async def _still_the_same(session: PlatformSession, program_id: UUID, delivery_id: UUID, proof: Proof) -> None:
    """What was proven is of all batches that there are: another operator may have been quicker."""
    if tuple(await repository_split.batches_of(session, program_id, delivery_id)) != proof.batches:
        raise PayoutNotStuckError


async def _lock_quarantined(session: PlatformSession, program_id: UUID, delivery_id: UUID) -> Delivery:
    (delivery,) = await repository.lock_deliveries(session, program_id, [delivery_id])
    if delivery.state != DeliveryState.QUARANTINED:
        raise PayoutNotStuckError(details={"state": delivery.state})
    return delivery


async def _locked_debt(session: PlatformSession, delivery: Delivery) -> int:
    """What the payout's account owes; it can't change before this transaction ends."""
    key = (delivery.asset_id, delivery.account_id)
    balances = await ledger_repository.lock_account_balances(session, delivery.program_id, [key])
    return balances[key].debt


async def _reserve_again(
    session: PlatformSession, treasury: Treasury, program_id: UUID, delivery_id: UUID, destination: str | None
) -> Settled:
    """Into a batch of its own: what could not be paid once does not hold up others again."""
    now = await transaction_time(session)
    async with program_scope(session, program_id):
        delivery = await _lock_quarantined(session, program_id, delivery_id)
        if await _locked_debt(session, delivery):
            raise AccountInDebtError
        if delivery.kind == "claim":
            wallet = await payable_destination(session, delivery, destination or str(delivery.destination))
        else:
            wallet = await accounts.wallet_of(session, program_id, delivery.account_id)
        amount = delivery.amount_atomic or 0
        if treasury.paused_at is not None or treasuries.spendable(treasury, now) < amount:
            raise TreasuryShortError
        batch = Batch(
            id=uuid7(), treasury_id=treasury.id, state=BatchState.CLOSED, size=0, total_atomic=0, supersedes=[], opened_at=now
        )
        member = Member(program_id, delivery_id, wallet, amount)
        delivery.state, delivery.reason, delivery.updated_at = DeliveryState.RESERVED, None, now
        delivery.destination, delivery.batch_id = wallet, batch.id
    await repository_batches.insert_batch(session, batch)
    await repository_batches.insert_members(session, batch.id, [member], [0])
    put(treasury, batch, [member], now)
    await _close_alert(session, delivery_id)
    await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID)
    return Settled.RETRIED


async def _deliver_proven(session: PlatformSession, program_id: UUID, delivery_id: UUID, batch_id: UUID) -> Settled:
    now = await transaction_time(session)
    batch = await repository_batches.batch(session, batch_id)
    intent = None if batch is None or batch.intent_id is None else await session.get(Intent, batch.intent_id)
    async with program_scope(session, program_id):
        delivery = await _lock_quarantined(session, program_id, delivery_id)
        deliver = Movement(PostingKind.DELIVER, delivery.id, delivery.asset_id, delivery.points, delivery.account_id)
        await ledger.post(session, program_id, [deliver], now)
        delivery.state, delivery.reason, delivery.updated_at, delivery.batch_id = DeliveryState.FINAL, None, now, batch_id
        delivery.transaction_hash = None if intent is None else intent.transaction_hash
        delivery.block_number = None if intent is None else intent.block_number
    await _close_alert(session, delivery_id)
    return Settled.ALREADY_PAID


async def _close_alert(session: PlatformSession, delivery_id: UUID) -> None:
    await outbox.resolve_alert(session, alerts.QUARANTINED, str(delivery_id))


Remedy = Callable[[PayoutDeps, UUID, UUID], Awaitable[Settled]]
"""`retry` or `give_back`."""
