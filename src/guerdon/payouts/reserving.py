"""From approved to reserved: a program's waiting payouts go into the treasury's open batch, against everything that limits them.

One transaction a program and chunk (SAFETY S15). What becomes of the batch is `freezing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from guerdon.chains.networks import SOLANA, WEI_A_UNIT
from guerdon.kit import jobs, outbox
from guerdon.kit.database import Database, PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.outbox import Severity
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.rates import Rate
from guerdon.payouts import alerts, repository, repository_batches
from guerdon.payouts.claims import checks
from guerdon.payouts.claims import repository as claims
from guerdon.payouts.models import Batch, BatchState, Work
from guerdon.payouts.payments import MAX_ATOMIC, Member, gas_day
from guerdon.payouts.repository import Waiting
from guerdon.payouts.solana.rail import MOST_PAYMENTS
from guerdon.payouts.terms import PayoutTerms
from guerdon.programs import repository as programs
from guerdon.txmanager import repository_treasuries, treasuries
from guerdon.txmanager.models import Network, Treasury


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
class Chunk:
    """What one transaction came to, and the claims that it passed over since they must not be paid as they are."""

    outcome: Outcome
    doubtful: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Chosen:
    """Payouts to reserve, and those that are passed over because they can never be paid as things are set."""

    members: list[Member]
    too_large: list[UUID]


def choose(waiting: Sequence[Waiting], program_id: UUID, *, rate: Rate, at_most_atomic: int, never_above: int) -> Chosen:
    """The oldest payouts that fit, up to the first that does not: none is passed over for a smaller one behind it.

    Except one that could never be paid (`never_above`): behind that, everybody would wait for ever.
    """
    members: list[Member] = []
    too_large: list[UUID] = []
    left = at_most_atomic
    for payout in waiting:
        amount = rate.atomic(payout.points) if payout.amount_atomic is None else payout.amount_atomic
        if amount > never_above:
            too_large.append(payout.delivery_id)
            continue
        if amount > left:
            break
        left -= amount
        members.append(Member(program_id, payout.delivery_id, payout.destination, amount))
    return Chosen(members, too_large)


async def reserve(
    database: Database,
    program_id: UUID,
    treasury_id: UUID,
    *,
    terms: PayoutTerms,
    gas_price: GasPrice,
    confirmed: frozenset[UUID] = frozenset(),
) -> Outcome:
    """Reserve up to a batch of a program's payouts from one treasury.

    Claims that go to contract wallets only where they are among the `confirmed`: their chain was asked just now (SAFETY S7).
    """
    chunk = await run_in_platform(database, _Chunk(program_id, treasury_id, terms, gas_price, confirmed))
    if not chunk.doubtful:
        return chunk.outcome
    await checks.turn_away(database, program_id, chunk.doubtful)
    return Outcome.RESERVED


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One transaction: as many of a program's oldest payouts as the open batch has room for."""

    program_id: UUID
    treasury_id: UUID
    terms: PayoutTerms
    gas_price: GasPrice
    confirmed: frozenset[UUID]

    async def __call__(self, session: PlatformSession) -> Chunk:
        treasury = await repository_treasuries.lock_treasury(session, self.treasury_id)
        if treasury.paused_at is not None:
            return Chunk(Outcome.CANNOT_PAY)
        if await repository_batches.batches_ahead(session, treasury.id) >= self.terms.batches_ahead:
            return Chunk(Outcome.TOO_MANY_AHEAD)
        now = await transaction_time(session)
        terms = await _terms_for(session, treasury, self.terms)
        batch = await _batch_with_room(session, treasury, terms, now)
        room = terms.batch_size - batch.size
        asset = await session.get_one(Asset, treasury.asset_id)
        async with program_scope(session, self.program_id):
            found = await self._lock_payable(session, treasury, asset, room)
            doubtful = frozenset(await checks.doubtful(session, self.program_id, found) if _is_claimed(asset) else ())
            waiting = [payout for payout in found if payout.delivery_id not in doubtful]
            if not waiting:
                return Chunk(Outcome.NOTHING_WAITS, doubtful)
            spendable = treasuries.spendable(treasury, now)
            fitting = choose(
                waiting,
                self.program_id,
                rate=asset.rate,
                at_most_atomic=min(spendable, MAX_ATOMIC - batch.total_atomic),
                never_above=treasuries.ever_spendable(treasury),
            )
            await _tell_too_large(session, treasury, self.program_id, fitting.too_large)
            gas = await self._within_gas_budget(session, treasury.network, fitting.members, batch)
            chosen = fitting.members[: len(gas)]
            if not fitting.members and len(fitting.too_large) < len(waiting):
                await _tell_unfunded(session, treasury, asset)
            if not chosen:
                return Chunk(Outcome.CANNOT_PAY, doubtful)
            await repository.mark_reserved(session, self.program_id, chosen, network=treasury.network, batch_id=batch.id, now=now)
        await repository_batches.insert_members(session, batch.id, chosen, gas)
        if sum(gas):
            await repository.add_gas(session, self.program_id, treasury.network, gas_day(batch.opened_at), sum(gas))
        put(treasury, batch, chosen, now)
        due = batch.opened_at + timedelta(seconds=self.terms.batch_window_seconds)
        if _is_full(batch, terms):
            batch.state, due = BatchState.CLOSED, now
        await session.flush()
        await jobs.wake(session, Work.FREEZE, PLATFORM_PROGRAM_ID, due)
        if len(chosen) < len(waiting) - len(fitting.too_large):
            return Chunk(Outcome.CANNOT_PAY, doubtful)
        # What was locked by others is woken by them.
        return Chunk(Outcome.RESERVED if len(found) == room else Outcome.NOTHING_WAITS, doubtful)

    async def _lock_payable(self, session: PlatformSession, treasury: Treasury, asset: Asset, limit: int) -> list[Waiting]:
        if _is_claimed(asset):
            waiting = await claims.lock_waiting(session, self.program_id, asset.id, treasury.network, self.confirmed, limit)
        else:
            waiting = await repository.lock_waiting(session, self.program_id, asset.id, limit)
        if not waiting:
            return []
        # A debt that was opened while the locks were taken: read in a later statement than the lock (SAFETY S10).
        accounts = {payout.account_id for payout in waiting}
        indebted = await repository.accounts_in_debt(session, self.program_id, asset.id, accounts)
        return [payout for payout in waiting if payout.account_id not in indebted]

    async def _within_gas_budget(
        self, session: PlatformSession, network: str, fitting: Sequence[Member], batch: Batch
    ) -> list[int]:
        """What to reserve, in the smallest unit of the network's coin, for as many payouts, from the first, as the program's
        budget of today covers (SAFETY S25).
        """
        budget = await programs.gas_budget(session, self.program_id)
        if budget is None or self.gas_price.wei is None:
            return [0] * len(fitting)
        namespace = (await session.get_one(Network, network)).namespace
        left = budget // WEI_A_UNIT[namespace] - await repository.gas_spent(
            session, self.program_id, network, gas_day(batch.opened_at)
        )
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


def _is_claimed(asset: Asset) -> bool:
    return asset.delivery == Delivered.ON_CLAIM


async def _tell_unfunded(session: PlatformSession, treasury: Treasury, asset: Asset) -> None:
    """An operator hears, once, that payouts wait for tokens; they go on by themselves."""
    free = treasury.balance_final - treasury.reserved
    await outbox.raise_alert(
        session,
        alerts.UNFUNDED,
        str(treasury.id),
        severity=Severity.WARNING,
        message=f"payouts of {asset.symbol} wait on {treasury.network}: treasury {treasury.address} has {free} atomic units "
        "free, or has paid what it may in this period",
        remedy=f"Send tokens ({treasury.token_address}) to {treasury.address}; payouts go on by themselves. What it may pay: "
        f"`guerdon treasury limit {treasury.address} --amount ATOMIC --seconds {treasury.period_seconds or 86_400}`.",
    )


async def _terms_for(session: PlatformSession, treasury: Treasury, terms: PayoutTerms) -> PayoutTerms:
    """The terms, with batches no larger than what one transaction of the network carries."""
    network = await session.get_one(Network, treasury.network)
    return replace(terms, batch_size=min(terms.batch_size, MOST_PAYMENTS)) if network.namespace == SOLANA else terms


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
