"""Treasuries: making them, what they hold and have reserved, their approval of the distributor, limits and pauses.
Commits nothing.

Who is paid from a treasury is decided in `payouts/reserving.py`; signing belongs to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from guerdon.chains import contracts
from guerdon.chains.networks import EIP155
from guerdon.kit import jobs, outbox
from guerdon.kit.database import PlatformSession, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.outbox import Severity
from guerdon.kit.secrets import KeyRing
from guerdon.ledger.models import Asset, Delivered
from guerdon.txmanager import repository, repository_options, service, service_keys
from guerdon.txmanager import repository_treasuries as rows
from guerdon.txmanager.errors_treasuries import (
    AssetWithoutTokenError,
    NotDeployedError,
    TreasuryExistsError,
    TreasuryNotFoundError,
)
from guerdon.txmanager.models import FINISHED, Intent, IntentState, KeyPurpose, Treasury
from guerdon.txmanager.signer import Signer

LOW_BALANCE_ALERT: Final = "treasury.low_balance"
CANNOT_PAY_ALERT: Final = "treasury.cannot_pay"
"""Nobody can be paid. Over when the treasury resumes, by itself or by an operator."""
RESERVE_WORK: Final = "payouts.reserve"
FREEZE_WORK: Final = "payouts.freeze"
DISTRIBUTOR: Final = "RewardDistributor"
UNLIMITED: Final = 2**256 - 1
_WAITING_FROM: Final = 2
_BETWEEN_APPROVALS: Final = timedelta(minutes=1)
_LONGEST_BETWEEN_APPROVALS: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Finality:
    """What a treasury held when the chain was last final: atomic units, after block `block_number`."""

    block_number: int
    balance: int


def note_balance(treasury: Treasury, finality: Finality) -> bool:
    """Take over what the chain says, unless something newer is known; whether the balance rose. The treasury is locked."""
    if finality.block_number <= treasury.balance_block:
        return False
    rose = finality.balance > treasury.balance_final
    treasury.balance_final = finality.balance
    treasury.balance_block = finality.block_number
    return rose


def spendable(treasury: Treasury, now: datetime) -> int:
    """What may be reserved of a treasury now: what it holds at finality and nobody has reserved, within its period's limit."""
    free = max(0, treasury.balance_final - treasury.reserved)
    if treasury.period_limit is None or treasury.period_seconds is None:
        return free
    used = 0 if _period_is_over(treasury, now) else treasury.period_reserved
    return min(free, max(0, treasury.period_limit - used))


def ever_spendable(treasury: Treasury) -> int:
    """What one payment of this treasury can be at most, whatever it holds."""
    return contracts.MAX_PAYMENT if treasury.period_limit is None else min(contracts.MAX_PAYMENT, treasury.period_limit)


def reserve(treasury: Treasury, amount_atomic: int, now: datetime) -> None:
    """Count an amount against the locked treasury and its period."""
    treasury.reserved += amount_atomic
    if treasury.period_limit is None:
        return
    if _period_is_over(treasury, now):
        treasury.period_started_at, treasury.period_reserved = now, 0
    treasury.period_reserved += amount_atomic


def release(treasury: Treasury, amount_atomic: int, *, reserved_since: datetime, now: datetime) -> None:
    """Take back what was reserved at `reserved_since` or later and never sent. The treasury is locked.

    Its period gets the amount back only if it is the one that it was reserved in: what an earlier one counted is none of this
    one's.
    """
    treasury.reserved -= amount_atomic
    started_at = treasury.period_started_at
    if started_at is not None and started_at <= reserved_since and not _period_is_over(treasury, now):
        treasury.period_reserved -= amount_atomic


def _period_is_over(treasury: Treasury, now: datetime) -> bool:
    """Whether the treasury's limit counts from zero again."""
    if treasury.period_started_at is None or treasury.period_seconds is None:
        return True
    return now >= treasury.period_started_at + timedelta(seconds=treasury.period_seconds)


@dataclass(frozen=True, slots=True)
class Token:
    """What a treasury pays."""

    network: str
    address: str
    decimals: int


async def token_of(session: PlatformSession, asset: Asset, network: str | None) -> Token:
    """The token that an asset is paid in on a network: its own, or that of its payout option (the only one, if none is named).

    Raises `AssetWithoutTokenError`.
    """
    if asset.delivery == Delivered.ON_CLAIM:
        found = [option for option, _ in await repository_options.options(session, asset.id) if network in {None, option.network}]
        if len(found) != 1:
            raise AssetWithoutTokenError(details={"networks": [option.network for option in found]})
        return Token(found[0].network, found[0].token_address, found[0].token_decimals)
    if asset.network is None or asset.token_address is None or network not in {None, asset.network}:
        raise AssetWithoutTokenError
    return Token(asset.network, asset.token_address, asset.decimals)


async def create_treasury(
    session: PlatformSession, ring: KeyRing, asset: Asset, *, network: str | None = None, key_id: UUID | None = None,
    low_balance: int = 0, now: datetime,
) -> Treasury:  # fmt: skip
    """A hot wallet for an asset on a network, with a new key unless one is given, and its approval of the distributor on the
    way.

    Raises `AssetWithoutTokenError`, `NotDeployedError`, `TreasuryExistsError`.
    """
    token = await token_of(session, asset, network)
    if await rows.treasury_on(session, asset.id, token.network) is not None:
        raise TreasuryExistsError
    if key_id is None:
        key = await service_keys.create_key(session, Signer(ring), token.network, KeyPurpose.TREASURY)
    else:
        key = await service_keys.key(session, key_id)
        if await rows.treasury_with(session, token.network, token.address, key.address):
            # The same tokens would back the points of two assets (SAFETY S3).
            raise TreasuryExistsError
    treasury = Treasury(
        id=uuid7(), network=token.network, asset_id=asset.id, key_id=key.id, token_address=token.address,
        token_decimals=token.decimals, address=key.address, low_balance=low_balance, balance_final=0, balance_block=0, reserved=0,
        period_reserved=0, created_at=now,
    )  # fmt: skip
    session.add(treasury)
    await session.flush()
    if (await service_keys.network(session, treasury.network)).namespace == EIP155:
        # Elsewhere the key itself moves its tokens.
        await ensure_approval(session, treasury)
    return treasury


async def ensure_approval(session: PlatformSession, treasury: Treasury) -> Intent:
    """The approval that lets the distributor take the treasury's tokens: the one on its way, or a new one if that did not help.

    Each costs gas, and where a second one does not help a third may not either: each further one waits twice as long as the one
    before, and until then the last one is what there is. An operator hears of it from whoever misses the allowance.
    """
    distributor = await rows.contract_address(session, treasury.network, DISTRIBUTOR)
    if distributor is None:
        raise NotDeployedError
    latest: Intent | None = None
    number = 0
    while (known := await repository.intent_by_ref(session, "approve", approval_ref(treasury.id, number))) is not None:
        latest, number = known, number + 1
    if latest is not None and (latest.state not in FINISHED or await _is_too_soon(session, latest, number)):
        return latest
    intent_id = await service.queue(
        session,
        key_id=treasury.key_id,
        network=treasury.network,
        kind="approve",
        to=treasury.token_address,
        data=contracts.approve_call(distributor, UNLIMITED),
        ref=approval_ref(treasury.id, number),
        work_kind=FREEZE_WORK,
    )
    return await service.intent(session, intent_id)


async def _is_too_soon(session: PlatformSession, latest: Intent, number: int) -> bool:
    """Whether approval `number` has to wait, after the latest one ended. The first is 0; the second waits for nothing."""
    if number < _WAITING_FROM:
        return False
    wait = min(_BETWEEN_APPROVALS * 2 ** min(number - _WAITING_FROM, 20), _LONGEST_BETWEEN_APPROVALS)
    return await transaction_time(session) < latest.updated_at + wait


async def first_approval(session: PlatformSession, treasury: Treasury) -> Intent:
    """The approval that was queued with the treasury; a new one if that ended without success."""
    known = await repository.intent_by_ref(session, "approve", approval_ref(treasury.id, 0))
    if known is not None and known.state not in {IntentState.FAILED, IntentState.VOID}:
        return known
    return await ensure_approval(session, treasury)


def approval_ref(treasury_id: UUID, number: int) -> UUID:
    """What the intent of a treasury's first, second, ... approval refers to."""
    return uuid5(treasury_id, f"approval {number}")


async def refresh(session: PlatformSession, treasury_id: UUID, finality: Finality) -> Treasury:
    """Take over a treasury's balance; programs that wait for it go on if it rose."""
    treasury, rose = await take_over(session, treasury_id, finality)
    if rose:
        await wake_waiting(session)
    return treasury


async def take_over(session: PlatformSession, treasury_id: UUID, finality: Finality) -> tuple[Treasury, bool]:
    """The locked treasury with its balance as the chain has it, and whether that rose; an operator hears if it is low.

    Who posts in the same transaction wakes the programs (`wake_waiting`) after that: work rows come last (SAFETY S15).
    """
    treasury = await rows.lock_treasury(session, treasury_id)
    rose = note_balance(treasury, finality)
    await session.flush()
    await _tell_if_low(session, treasury)
    return treasury, rose


async def _tell_if_low(session: PlatformSession, treasury: Treasury) -> None:
    free = treasury.balance_final - treasury.reserved
    if free >= treasury.low_balance:
        await outbox.resolve_alert(session, LOW_BALANCE_ALERT, str(treasury.id))
        return
    await outbox.raise_alert(
        session,
        LOW_BALANCE_ALERT,
        str(treasury.id),
        severity=Severity.WARNING,
        message=f"treasury {treasury.address} on {treasury.network} has {free} free atomic units, below {treasury.low_balance}",
        remedy=f"Fund its programs (`guerdon program fund BRAND_ID --amount POINTS`), send tokens to {treasury.address}, or "
        f"lower what counts as low: `guerdon treasury limit {treasury.address} --low-balance {free}`.",
    )


async def wake_waiting(session: PlatformSession) -> None:
    """Let every program whose payouts wait for funds look again now, not at its next turn."""
    await rows.wake_all(session, RESERVE_WORK)


async def find(session: PlatformSession, name: str) -> tuple[Treasury, Asset]:
    """The treasury of an asset's symbol (`SYMBOL@NETWORK` where it has several), or by its id or address.

    Raises `TreasuryNotFoundError`.
    """
    found: list[tuple[Treasury, Asset]] = []
    for treasury, asset, _ in await rows.treasuries(session):
        names = {asset.symbol, f"{asset.symbol}@{treasury.network}", str(treasury.id), treasury.address}
        if name.lower() in {one.lower() for one in names}:
            found.append((treasury, asset))
    if len(found) > 1:
        places = ", ".join(f"{asset.symbol}@{treasury.network}" for treasury, asset in found)
        raise TreasuryNotFoundError(f"Several treasuries are called {name}: name one as {places}, or by its address.")
    if not found:
        raise TreasuryNotFoundError
    return found[0]


async def pause(session: PlatformSession, treasury_id: UUID, reason: str, now: datetime) -> Treasury:
    """Reserve and freeze nothing more; what is signed already goes on, since it may land at any time."""
    treasury = await rows.lock_treasury(session, treasury_id)
    treasury.paused_at, treasury.pause_reason, treasury.resumes_by_itself = treasury.paused_at or now, reason, False
    await session.flush()
    return treasury


async def pause_until_it_pays(session: PlatformSession, treasury_id: UUID, reason: str, now: datetime) -> None:
    """The same because nobody can be paid (SAFETY S22): it ends by itself. An operator's pause stands."""
    treasury = await rows.lock_treasury(session, treasury_id)
    if treasury.paused_at is None or treasury.resumes_by_itself:
        treasury.paused_at, treasury.pause_reason, treasury.resumes_by_itself = treasury.paused_at or now, reason, True
        await session.flush()


async def resume(session: PlatformSession, treasury_id: UUID) -> Treasury:
    """Go on after a pause."""
    treasury = await rows.lock_treasury(session, treasury_id)
    treasury.paused_at, treasury.pause_reason, treasury.resumes_by_itself = None, None, False
    await session.flush()
    await outbox.resolve_alert(session, CANNOT_PAY_ALERT, str(treasury.id))
    await wake_waiting(session)
    await jobs.wake(session, FREEZE_WORK, PLATFORM_PROGRAM_ID)
    return treasury


async def limit(
    session: PlatformSession,
    treasury_id: UUID,
    *,
    amount_atomic: int | None,
    period_seconds: int | None,
    low_balance: int | None = None,
) -> Treasury:
    """At most so many atomic units in so many seconds (both null: no limit), and the balance below which an alert is raised."""
    treasury = await rows.lock_treasury(session, treasury_id)
    if amount_atomic is None or period_seconds is None:
        treasury.period_limit, treasury.period_seconds = None, None
    else:
        treasury.period_limit, treasury.period_seconds = amount_atomic, period_seconds
    treasury.period_started_at, treasury.period_reserved = None, 0
    if low_balance is not None:
        treasury.low_balance = low_balance
    await session.flush()
    await _tell_if_low(session, treasury)
    await wake_waiting(session)
    return treasury
