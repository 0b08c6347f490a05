"""From approved to reserved: a program's waiting payouts go into the treasury's open batch, against everything that limits them.

One transaction a program and chunk (SAFETY S15). What becomes of the batch is `freezing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from guerdon.kit import jobs, outbox
from guerdon.kit.database import Database, PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.outbox import Severity
from guerdon.ledger.models import Asset
from guerdon.payouts import alerts, repository, repository_batches
from guerdon.payouts.models import Batch, BatchState, Work
from guerdon.payouts.payments import MAX_ATOMIC, Member, gas_day
from guerdon.payouts.repository import Waiting
from guerdon.payouts.terms import PayoutTerms
from guerdon.programs import repository as programs
from guerdon.txmanager import repository_treasuries, treasuries
from guerdon.txmanager.models import Treasury


class Outcome(Enum):
    """How a chunk ended."""

    NOTHING_WAITS = auto()
    """Nothing is left to reserve."""
    RESERVED = auto()
    """A whole chunk, and there may be more."""
    TOO_MANY_AHEAD = auto()
    CANNOT_PAY = auto()
    """Paused, out of funds, over a limit or a budget: the payouts stay approved."""


@dataclass(frozen=True, slots=True)
class GasPrice:
    """What a unit of gas may cost now, in wei; None where nobody asked since no budget is set."""

    wei: int | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Payouts to reserve, and those that are passed over because they can never be paid as things are set."""

    members: list[Member]
    too_large: list[UUID]


def choose(
    waiting: Sequence[Waiting], program_id: UUID, *, atomic_per_point: int, at_most_atomic: int, never_above: int
) -> Chosen:
    """The oldest payouts that fit, up to the first that does not: none is passed over for a smaller one behind it.

    Except one that could never be paid (`never_above`): behind that, everybody would wait for ever.
    """
    members: list[Member] = []
    too_large: list[UUID] = []
    left = at_most_atomic
    for payout in waiting:
        amount = payout.points * atomic_per_point if payout.amount_atomic is None else payout.amount_atomic
        if amount > never_above:
            too_large.append(payout.delivery_id)
            continue
        if amount > left:
            break
        left -= amount
        members.append(Member(program_id, payout.delivery_id, payout.wallet_address, amount))
    return Chosen(members, too_large)


async def reserve(database: Database, program_id: UUID, asset_id: UUID, *, terms: PayoutTerms, gas_price: GasPrice) -> Outcome:
    """Reserve up to a batch of a program's payouts in one asset."""
    return await run_in_platform(database, _Chunk(program_id, asset_id, terms, gas_price))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One transaction: as many of a program's oldest payouts as the open batch has room for."""

    program_id: UUID
    asset_id: UUID
    terms: PayoutTerms
    gas_price: GasPrice

    async def __call__(self, session: PlatformSession) -> Outcome:
        treasury = await repository_treasuries.lock_treasury_of_asset(session, self.asset_id)
        if treasury is None or treasury.paused_at is not None:
            return Outcome.CANNOT_PAY
        if await repository_batches.batches_ahead(session, treasury.id) >= self.terms.batches_ahead:
            return Outcome.TOO_MANY_AHEAD
        now = await transaction_time(session)
        batch = await _batch_with_room(session, treasury, self.terms, now)
        room = self.terms.batch_size - batch.size
        asset = await session.get_one(Asset, self.asset_id)
        async with program_scope(session, self.program_id):
            waiting = await _lock_payable(session, self.program_id, self.asset_id, room)
            if not waiting:
                return Outcome.NOTHING_WAITS
            fitting = choose(
                waiting,
                self.program_id,
                atomic_per_point=asset.atomic_per_point,
                at_most_atomic=min(treasuries.spendable(treasury, now), MAX_ATOMIC - batch.total_atomic),
                never_above=treasuries.ever_spendable(treasury),
            )
            await _tell_too_large(session, treasury, self.program_id, fitting.too_large)
            gas = await self._within_gas_budget(session, treasury.network, fitting.members, batch)
            chosen = fitting.members[: len(gas)]
            if not chosen:
                return Outcome.CANNOT_PAY
            await repository.mark_reserved(session, self.program_id, chosen, network=treasury.network, batch_id=batch.id, now=now)
        await repository_batches.insert_members(session, batch.id, chosen, gas)
        if sum(gas):
            await repository.add_gas(session, self.program_id, treasury.network, gas_day(batch.opened_at), sum(gas))
        put(treasury, batch, chosen, now)
        due = batch.opened_at + timedelta(seconds=self.terms.batch_window_seconds)
        if _is_full(batch, self.terms):
            batch.state, due = BatchState.CLOSED, now
        await session.flush()
        await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID, due)
        if len(chosen) < len(waiting) - len(fitting.too_large):
            return Outcome.CANNOT_PAY
        # What was locked by others is woken by them.
        return Outcome.RESERVED if len(waiting) == room else Outcome.NOTHING_WAITS

    async def _within_gas_budget(
        self, session: PlatformSession, network: str, fitting: Sequence[Member], batch: Batch
    ) -> list[int]:
        """The wei to reserve for as many payouts, from the first, as the program's budget of today covers (SAFETY S25)."""
        budget = await programs.gas_budget(session, self.program_id)
        if budget is None or self.gas_price.wei is None:
            return [0] * len(fitting)
        left = budget - await repository.gas_spent(session, self.program_id, network, gas_day(batch.opened_at))
        reserved: list[int] = []
        for place in range(len(fitting)):
            opens = batch.size + place == 0
            wei = (self.terms.gas_a_payout + (self.terms.gas_a_batch if opens else 0)) * self.gas_price.wei
            left -= wei
            if left < 0:
                break
            reserved.append(wei)
        return reserved


async def _tell_too_large(session: PlatformSession, treasury: Treasury, program_id: UUID, too_large: Sequence[UUID]) -> None:
    """An operator hears of payouts that wait for ever, each time that they are met."""
    if not too_large:
        return
    await outbox.raise_alert(
        session,
        alerts.TOO_LARGE,
        f"{treasury.id}:{program_id}",
        severity=Severity.CRITICAL,
        message=f"{len(too_large)} payouts are larger than treasury {treasury.address} may ever pay, {too_large[0]} for one",
        remedy="Raise the treasury's limit; they go on by themselves then: "
        f"`guerdon treasury limit {treasury.address} --amount ATOMIC --seconds {treasury.period_seconds or 86_400}`.",
        details={"program": str(program_id), "payouts": [str(one) for one in too_large[:20]]},
    )


async def _lock_payable(session: PlatformSession, program_id: UUID, asset_id: UUID, limit: int) -> list[Waiting]:
    waiting = await repository.lock_waiting(session, program_id, asset_id, limit)
    if not waiting:
        return []
    # A debt that was opened while the locks were taken: read in a later statement than the lock (SAFETY S10).
    indebted = await repository.accounts_in_debt(session, program_id, asset_id, {payout.account_id for payout in waiting})
    return [payout for payout in waiting if payout.account_id not in indebted]


async def _batch_with_room(session: PlatformSession, treasury: Treasury, terms: PayoutTerms, now: datetime) -> Batch:
    batch = await repository_batches.lock_open_batch(session, treasury.id)
    if batch is not None and _is_full(batch, terms):
        batch.state = BatchState.CLOSED
        await session.flush()
        batch = None
    if batch is None:
        batch = Batch(
            id=uuid7(), treasury_id=treasury.id, state=BatchState.OPEN, size=0, total_atomic=0, supersedes=[], opened_at=now
        )
        await repository_batches.insert_batch(session, batch)
    elif batch.size == 0:
        # The window begins with the first payout, not with a row that a transaction left empty.
        batch.opened_at = now
    return batch


def _is_full(batch: Batch, terms: PayoutTerms) -> bool:
    return batch.size >= terms.batch_size or batch.total_atomic >= MAX_ATOMIC


def put(treasury: Treasury, batch: Batch, chosen: Sequence[Member], now: datetime) -> None:
    """Count what goes into a batch, against the treasury and in the batch. Both are locked."""
    total = sum(member.amount_atomic for member in chosen)
    treasuries.reserve(treasury, total, now)
    batch.size += len(chosen)
    batch.total_atomic += total
