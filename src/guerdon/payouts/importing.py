"""Payments that a treasury's key sent and this database does not know, as after the restoration of an old backup (SAFETY S21).

A payment is a batch's by its id on chain; else what it paid is looked for by recipient and amount, and delivered
(`importing_delivery.py`). The rest of a key's transactions is txmanager's. On Solana: `solana/importing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from guerdon.chains import contracts
from guerdon.chains.contracts import PayCall
from guerdon.kit.database import PlatformSession, run_in_platform, transaction_time
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset, DeliveryState
from guerdon.payouts import repository_batches, repository_import
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import Distributor, open_distributor
from guerdon.payouts.importing_delivery import ImportedPayment
from guerdon.payouts.models import Batch, BatchState
from guerdon.payouts.rail import BatchStatus
from guerdon.txmanager import importing, repository_imported, service_keys, treasuries
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.importing import Found
from guerdon.txmanager.models import Intent, Key, Treasury


@dataclass(frozen=True, slots=True)
class Imported:
    """A transaction that was not known, and what it turned out to be."""

    transaction_hash: str
    nonce: int
    what: str
    unmatched: str | None
    """What of it nothing in the books accounts for."""


@dataclass(frozen=True, slots=True)
class Import:
    """What came of importing."""

    transactions: tuple[Imported, ...]
    missing: tuple[int, ...]
    """Nonces that are used, by transactions that the node does not find."""

    @property
    def is_complete(self) -> bool:
        """May the key resume?"""
        return not self.missing and all(one.unmatched is None for one in self.transactions)


@dataclass(frozen=True, slots=True)
class _Purse:
    treasury: Treasury
    asset: Asset
    distributor: Distributor


async def import_key(deps: PayoutDeps, key_id: UUID) -> Import:
    """Account for everything that a paused key sent and this database does not know. May be called again at any time.

    Raises `KeyNotFoundError`, `KeyNotPausedError`, `ChainUnavailableError`.
    """
    async with deps.database.platform() as session:
        await service_keys.key(session, key_id)
        key = await importing.require_paused(session, key_id)
    purses = await _purses(deps, key)
    chain = Chain(await deps.chain(key.network))
    seen = await importing.review(deps.database, chain, key_id)
    report: list[Imported] = []
    for one in seen.found:
        what = await importing.account_for(deps.database, chain, key_id, one) or await _take_in(deps, key, purses, one)
        if what is not None:
            report.append(Imported(one.transaction.hash, one.transaction.nonce, what, None))
    await importing.free_those_that_lost_their_nonce(deps.database, key_id, seen)
    async with deps.database.platform() as session:
        unmatched = await repository_imported.unmatched(session, key_id)
    report += [await _match(deps, purses, intent) for intent in unmatched]
    for purse in purses:
        await _refresh(deps, purse)
    return Import(tuple(sorted(report, key=lambda one: one.nonce)), seen.missing)


async def _purses(deps: PayoutDeps, key: Key) -> list[_Purse]:
    async with deps.database.platform() as session:
        known = await repository_import.treasuries_of(session, key.id)
    found: list[_Purse] = []
    for treasury, asset in known:
        distributor = await open_distributor(deps, treasury)
        if distributor is not None:
            found.append(_Purse(treasury, asset, distributor))
    return found


async def _refresh(deps: PayoutDeps, purse: _Purse) -> None:
    finality = await purse.distributor.finality()

    async def write(session: PlatformSession) -> None:
        await treasuries.refresh(session, purse.treasury.id, finality)

    await run_in_platform(deps.database, write)


def _read(purses: Sequence[_Purse], to: str | None, data: bytes) -> tuple[_Purse, PayCall] | None:
    """The payment that a transaction makes from one of these treasuries."""
    try:
        call = contracts.read_pay_call(data)
    except ValueError:
        return None
    for purse in purses:
        same = (purse.distributor.address.lower(), purse.treasury.token_address.lower())
        if same == ((to or "").lower(), call.token.lower()):
            return purse, call
    return None


async def _take_in(deps: PayoutDeps, key: Key, purses: Sequence[_Purse], one: Found) -> str | None:
    """Adopt a payment for the batch that it is, or record it for matching; what it is, if nothing is left to match."""
    payment = _read(purses, one.transaction.to, one.transaction.data)
    if payment is None:
        error = "it called or moved what is ours, and is no payment of this key's treasuries"

        async def note(session: PlatformSession) -> None:
            await importing.require_paused(session, key.id)
            await importing.record(session, key, one, kind=importing.UNMATCHED, error=error)

        await run_in_platform(deps.database, note)
        return None
    purse, call = payment
    name = purse.distributor.name_of(call)

    async def write(session: PlatformSession) -> str | None:
        await importing.require_paused(session, key.id)
        known = await repository_import.batch_by_chain_id(session, purse.treasury.id, name)
        if known is not None and known.intent_id is not None and known.state == BatchState.FROZEN:
            await txmanager.adopt(session, known.intent_id, one.transaction, one.receipt)
            return f"is the payment of batch {known.id}"
        intent_id = await importing.record(session, key, one, kind=importing.UNMATCHED, error="not matched yet")
        if known is None:
            now = await transaction_time(session)
            batch = Batch(
                id=uuid7(), treasury_id=purse.treasury.id, state=BatchState.PAID, size=0, total_atomic=0, chain_batch_id=name,
                supersedes=list(call.supersedes), intent_id=intent_id, delivery_state=DeliveryState.FINAL, opened_at=now,
                frozen_at=now,
            )  # fmt: skip
            await repository_batches.insert_batch(session, batch)
        return None

    return await run_in_platform(deps.database, write)


async def _match(deps: PayoutDeps, purses: Sequence[_Purse], intent: Intent) -> Imported:
    """Deliver what a recorded payment paid, as far as it is found."""
    read = _read(purses, intent.to_address, intent.data)
    if read is None:
        return _told(intent, "not recognised", intent.error or "not a payment")
    purse, call = read
    name = purse.distributor.name_of(call)
    finality = await purse.distributor.finality()
    if (await purse.distributor.statuses([name], finality.block_number))[name] is not BatchStatus.PAID:
        return _told(intent, "not recognised", "the distributor does not have it as paid")
    async with deps.database.platform() as session:
        batch = await repository_import.batch_by_chain_id(session, purse.treasury.id, name)
    if batch is None or batch.state != BatchState.PAID:
        return _told(intent, "not recognised", f"it pays batch {name}, which these books have as dissolved")
    paid: dict[str, int] = {}
    for recipient, amount in call.payments:
        paid[recipient.lower()] = paid.get(recipient.lower(), 0) + amount
    payment = ImportedPayment(purse.treasury.id, purse.asset, intent, batch.id, paid, finality)
    delivered, error = await payment.deliver(deps.database)
    return _told(intent, f"payouts paid: {delivered}", error)


def _told(intent: Intent, what: str, unmatched: str | None) -> Imported:
    return Imported(str(intent.transaction_hash), intent.nonce or 0, what, unmatched)
