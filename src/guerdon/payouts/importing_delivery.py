"""Delivering what a payment paid that this database did not know, as far as it is found by recipient and amount (SAFETY S21).

One transaction a program (SAFETY S2). What the payment was is read by `importing.py`, on Solana by `solana/importing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from guerdon.kit import outbox
from guerdon.kit.database import Database, PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, Delivery, DeliveryState, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts, repository, repository_batches, repository_import
from guerdon.payouts.matching import match
from guerdon.payouts.models import BatchMember, BatchState
from guerdon.payouts.payments import Member
from guerdon.payouts.quarantine import release
from guerdon.payouts.repository_import import Candidate
from guerdon.txmanager import importing, repository_imported, repository_treasuries, treasuries
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.models import Intent, Treasury
from guerdon.txmanager.treasuries import Finality, note_balance


@dataclass(frozen=True, slots=True)
class ImportedPayment:
    """A final payment that was found on the chain, with the batch that it is recorded as."""

    treasury_id: UUID
    asset: Asset
    intent: Intent
    batch_id: UUID
    paid: Mapping[str, int]
    """Atomic units, by the recipient's wallet in lower case."""
    finality: Finality

    async def deliver(self, database: Database) -> tuple[int, str | None]:
        """Deliver the payouts that it paid; how many, and what of it nothing in the books accounts for. May be done again."""
        async with database.platform() as session:
            programs = await repository_import.programs_waiting(session, self.asset.id)
        for program_id in programs:
            await run_in_platform(database, _Delivery(self, program_id))

        async def conclude(session: PlatformSession) -> tuple[int, str | None]:
            left = _left(self.paid, await repository_import.accounted(session, self.batch_id))
            error = "; ".join(f"{amount} to {wallet}" for wallet, amount in left.items()) or None
            kind = importing.IMPORTED if error is None else importing.UNMATCHED
            await repository_imported.note_found(session, self.intent.id, kind=kind, error=error)
            return len(await repository_batches.members(session, self.batch_id)), error

        return await run_in_platform(database, conclude)


def _left(paid: Mapping[str, int], accounted: Mapping[str, int]) -> dict[str, int]:
    left = {wallet: amount - accounted.get(wallet, 0) for wallet, amount in paid.items()}
    return {wallet: amount for wallet, amount in left.items() if amount > 0}


@dataclass(frozen=True, slots=True)
class _Part:
    """A payout, or a part of one that sums what was earned, that a payment has paid."""

    candidate: Candidate
    amount_atomic: int


class _Delivery:
    """One program's part of a payment."""

    def __init__(self, payment: ImportedPayment, program_id: UUID) -> None:
        self._payment = payment
        self._program_id = program_id

    async def __call__(self, session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, self._payment.treasury_id)
        await importing.require_paused(session, self._payment.intent.key_id)
        await repository_import.lock_unfinished(session, treasury.id)
        batch = await repository_batches.batch(session, self._payment.batch_id, for_update=True)
        left = _left(self._payment.paid, await repository_import.accounted(session, self._payment.batch_id))
        if batch is None or not left:
            return
        per_point = self._payment.asset.atomic_per_point
        async with program_scope(session, self._program_id):
            candidates = await repository_import.lock_candidates(session, self._program_id, treasury, sorted(left), per_point)
            parts = [part for wallet, amount in left.items() for part in _paid_of(candidates, wallet, amount, per_point)]
            if not parts:
                return
            members = await self._deliver(session, parts, per_point)
        for reserved_in in sorted({part.candidate.batch_id for part in parts if part.candidate.batch_id is not None}):
            theirs = [part for part in parts if part.candidate.batch_id == reserved_in]
            await self._take_out(session, treasury, reserved_in, theirs)
        await repository_batches.insert_members(session, self._payment.batch_id, members, [0] * len(members))
        await repository_batches.settle_members(session, self._payment.batch_id, self._program_id)
        batch.size += len(members)
        batch.total_atomic += sum(member.amount_atomic for member in members)
        note_balance(treasury, self._payment.finality)
        for part in parts:
            await outbox.resolve_alert(session, alerts.QUARANTINED, str(part.candidate.delivery_id))
        total = str(sum(member.amount_atomic for member in members))
        told = {"batch": str(self._payment.batch_id), "payouts": len(members), "amountAtomic": total}
        await outbox.append(
            session,
            "payouts.delivered",
            {**told, "transactionHash": self._payment.intent.transaction_hash, "imported": True},
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
            row.network, row.batch_id = self._payment.intent.network, self._payment.batch_id
            row.destination, row.amount_atomic = part.candidate.wallet, part.amount_atomic
            row.transaction_hash, row.block_number = self._payment.intent.transaction_hash, self._payment.intent.block_number
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
