"""Payments that a treasury's key sent and this database does not know, as after the restoration of an old backup (SAFETY S21).

A payment is a batch's by its id on chain; else what it paid is looked for by recipient and amount, and delivered. What is
found for a program is `_Delivery`, one transaction each (SAFETY S2); the rest of a key's transactions is txmanager's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from guerdon.chains import contracts
from guerdon.chains.contracts import PayCall
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, Delivery, DeliveryState, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts, repository, repository_batches, repository_import
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import Distributor, open_distributor
from guerdon.payouts.matching import match
from guerdon.payouts.models import Batch, BatchMember, BatchState
from guerdon.payouts.payments import Member
from guerdon.payouts.quarantine import release
from guerdon.payouts.rail import BatchStatus
from guerdon.payouts.repository_import import Candidate
from guerdon.txmanager import importing, repository_imported, repository_treasuries, service_keys, treasuries
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.importing import Found
from guerdon.txmanager.models import Intent, Key, Treasury
from guerdon.txmanager.treasuries import Finality, note_balance


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
    payment = _read(purses, intent.to_address, intent.data)
    if payment is None:
        return _told(intent, "not recognised", intent.error or "not a payment")
    purse, call = payment
    name = purse.distributor.name_of(call)
    finality = await purse.distributor.finality()
    if (await purse.distributor.statuses([name], finality.block_number))[name] is not BatchStatus.PAID:
        return _told(intent, "not recognised", "the distributor does not have it as paid")
    async with deps.database.platform() as session:
        batch = await repository_import.batch_by_chain_id(session, purse.treasury.id, name)
        programs = await repository_import.programs_waiting(session, purse.asset.id)
    if batch is None or batch.state != BatchState.PAID:
        return _told(intent, "not recognised", f"it pays batch {name}, which these books have as dissolved")
    paid: dict[str, int] = {}
    for recipient, amount in call.payments:
        paid[recipient.lower()] = paid.get(recipient.lower(), 0) + amount
    for program_id in programs:
        await run_in_platform(deps.database, _Delivery(deps, purse, intent, batch.id, paid, finality, program_id))

    async def conclude(session: PlatformSession) -> tuple[int, str | None]:
        left = _left(paid, await repository_import.accounted(session, batch.id))
        error = "; ".join(f"{amount} to {wallet}" for wallet, amount in left.items()) or None
        kind = importing.IMPORTED if error is None else importing.UNMATCHED
        await repository_imported.note_found(session, intent.id, kind=kind, error=error)
        return len(await repository_batches.members(session, batch.id)), error

    delivered, error = await run_in_platform(deps.database, conclude)
    return _told(intent, f"payouts paid: {delivered}", error)


def _left(paid: Mapping[str, int], accounted: Mapping[str, int]) -> dict[str, int]:
    left = {wallet: amount - accounted.get(wallet, 0) for wallet, amount in paid.items()}
    return {wallet: amount for wallet, amount in left.items() if amount > 0}


def _told(intent: Intent, what: str, unmatched: str | None) -> Imported:
    return Imported(str(intent.transaction_hash), intent.nonce or 0, what, unmatched)


@dataclass(frozen=True, slots=True)
class _Part:
    """A payout, or a part of one that sums what was earned, that a payment has paid."""

    candidate: Candidate
    amount_atomic: int


class _Delivery:
    """One program's part of a payment."""

    def __init__(  # noqa: PLR0917 - what a payment is, each named where it is made
        self, deps: PayoutDeps, purse: _Purse, intent: Intent, batch_id: UUID, paid: Mapping[str, int], finality: Finality,
        program_id: UUID,
    ) -> None:  # fmt: skip
        self._deps = deps
        self._purse = purse
        self._intent = intent
        self._batch_id = batch_id
        self._paid = paid
        self._finality = finality
        self._program_id = program_id

    async def __call__(self, session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, self._purse.treasury.id)
        await importing.require_paused(session, self._intent.key_id)
        await repository_import.lock_unfinished(session, treasury.id)
        batch = await repository_batches.batch(session, self._batch_id, for_update=True)
        left = _left(self._paid, await repository_import.accounted(session, self._batch_id))
        if batch is None or not left:
            return
        per_point = self._purse.asset.atomic_per_point
        async with program_scope(session, self._program_id):
            candidates = await repository_import.lock_candidates(session, self._program_id, treasury, sorted(left), per_point)
            parts = [part for wallet, amount in left.items() for part in _paid_of(candidates, wallet, amount, per_point)]
            if not parts:
                return
            members = await self._deliver(session, parts, per_point)
        for reserved_in in sorted({part.candidate.batch_id for part in parts if part.candidate.batch_id is not None}):
            theirs = [part for part in parts if part.candidate.batch_id == reserved_in]
            await self._take_out(session, treasury, reserved_in, theirs)
        await repository_batches.insert_members(session, self._batch_id, members, [0] * len(members))
        await repository_batches.settle_members(session, self._batch_id, self._program_id)
        batch.size += len(members)
        batch.total_atomic += sum(member.amount_atomic for member in members)
        note_balance(treasury, self._finality)
        for part in parts:
            await outbox.resolve_alert(session, alerts.QUARANTINED, str(part.candidate.delivery_id))
        total = str(sum(member.amount_atomic for member in members))
        told = {"batch": str(self._batch_id), "payouts": len(members), "amountAtomic": total}
        await outbox.append(
            session,
            "payouts.delivered",
            {**told, "transactionHash": self._intent.transaction_hash, "imported": True},
            program_id=self._program_id,
        )

    async def _deliver(self, session: PlatformSession, parts: Sequence[_Part], per_point: int) -> list[Member]:
        """Post and finish the payouts, each part of one as a payout of its own; what is now in the imported batch."""
        now = await transaction_time(session)
        amounts = {part.candidate.delivery_id: part for part in parts}
        rows = await repository.lock_deliveries(session, self._program_id, sorted(amounts))
        done: list[Delivery] = []
        for row in rows:
            part = amounts[row.id]
            if part.amount_atomic == part.candidate.amount_atomic:
                done.append(row)
                continue
            points = part.amount_atomic // per_point
            row.points, row.updated_at = row.points - points, now
            row.amount_atomic = None if row.amount_atomic is None else row.amount_atomic - part.amount_atomic
            paid = Delivery(
                program_id=self._program_id, id=uuid7(), asset_id=row.asset_id, account_id=row.account_id, kind=row.kind,
                state=row.state, points=points, requested_at=row.requested_at, updated_at=now,
            )  # fmt: skip
            done.append(paid)
        for row, part in zip(done, (amounts[row.id] for row in rows), strict=True):
            row.state, row.reason, row.updated_at = DeliveryState.FINAL, None, now
            row.network, row.batch_id = self._purse.treasury.network, self._batch_id
            row.destination, row.amount_atomic = part.candidate.wallet, part.amount_atomic
            row.transaction_hash, row.block_number = self._intent.transaction_hash, self._intent.block_number
            session.add(row)
        await session.flush()
        movements = [Movement(PostingKind.DELIVER, one.id, one.asset_id, one.points, one.account_id) for one in done]
        await ledger.post(session, self._program_id, movements, now)
        return [Member(self._program_id, one.id, str(one.destination), int(one.amount_atomic or 0)) for one in done]

    async def _take_out(self, session: PlatformSession, treasury: Treasury, batch_id: UUID, parts: Sequence[_Part]) -> None:
        """What is paid leaves the batch that it waits in; a frozen one is cancelled, and the rest of it batched anew."""
        paid = {part.candidate.delivery_id: part.amount_atomic for part in parts}
        batch = await repository_batches.batch(session, batch_id, for_update=True)
        if batch is None:
            return
        unsettled = await repository_batches.lock_unsettled(session, batch_id, self._program_id)
        members: list[BatchMember] = []
        for member in unsettled:
            amount = paid.get(member.delivery_id, 0)
            if amount == member.amount_atomic:
                members.append(member)
            elif amount:
                member.amount_atomic -= amount
                batch.total_atomic -= amount
                treasuries.release(treasury, amount, reserved_since=batch.opened_at, now=await transaction_time(session))
        await release(session, treasury, batch, members)
        if batch.state == BatchState.FROZEN and batch.intent_id is not None:
            await txmanager.cancel(session, batch.intent_id, "a payment that was not known has paid some of it")
            for member in members:
                member.settled = True
            return
        batch.size -= len(members)
        batch.total_atomic -= sum(member.amount_atomic for member in members)
        await repository_batches.delete_members(session, batch_id, self._program_id, [member.delivery_id for member in members])


def _paid_of(candidates: Sequence[Candidate], wallet: str, amount: int, per_point: int) -> list[_Part]:
    """What a payment to a wallet has paid of these payouts."""
    theirs = [one for one in candidates if one.wallet.lower() == wallet]
    found = match([one.amount_atomic for one in theirs], amount)
    whole = [theirs[place] for place in found.whole]
    parts = [_Part(one, one.amount_atomic) for one in whole]
    part = found.left_atomic - found.left_atomic % per_point
    divided = next((one for one in theirs if one.is_sum and one not in whole and part < one.amount_atomic), None)
    if divided is not None and part > 0:
        parts.append(_Part(divided, part))
    return parts
