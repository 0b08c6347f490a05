"""The address registry of a program: an address is registered, proven, preferred, moved, removed. What was, stays on record.

Transactions are the caller's. A chain is asked before them, by `proofs.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from guerdon.accounts import challenges, repository, repository_addresses, repository_members
from guerdon.accounts.addresses import CREDIT_WORK
from guerdon.accounts.errors import (
    AddressNotFoundError,
    AddressNotProvenError,
    AddressTakenError,
    AddressWaitsError,
    TooManyAddressesError,
)
from guerdon.accounts.forms import NamedNetwork, canonical, network_named, shown
from guerdon.accounts.models import Address, Ended, ProofMethod
from guerdon.accounts.models_members import Challenge, Purpose
from guerdon.accounts.proofs import Proven
from guerdon.chains.networks import EIP155
from guerdon.kit import outbox
from guerdon.kit.database import ScopedSession, transaction_time
from guerdon.kit.jobs import wake
from guerdon.programs.models import Program

MOST_ADDRESSES: Final = 50
"""Of an account, proven or not."""
PROVEN: Final = "address.proven"
REMOVED: Final = "address.removed"
TRANSFERRED: Final = "address.transferred"


@dataclass(frozen=True, slots=True)
class Registered:
    """An address of an account; with what is to be signed, unless it is proven."""

    address: Address
    challenge: Challenge | None


async def register(
    session: ScopedSession, program: Program, account_id: UUID, network: str, text: str, origin: str, *, by_transfer: bool = False
) -> Registered:
    """Register an address and ask for its proof; anew as often as wanted. One that is proven there already stays as it is.

    Raises `NetworkUnknownError`, `InvalidAddressError`, `TooManyAddressesError`.
    """
    named = network_named(network)
    form = canonical(named.namespace, text)
    await repository_addresses.lock_address(session, program.id, named.namespace, form)
    await repository_members.lock_accounts(session, program.id, [account_id])
    proven = await repository_addresses.covering(session, program.id, account_id, named.namespace, form, named.chain_id)
    if proven is not None:
        return Registered(proven, None)
    row = await repository_addresses.unproven_of(session, program.id, account_id, named.namespace, form)
    if row is None:
        if await repository_addresses.count_live(session, program.id, account_id) >= MOST_ADDRESSES:
            raise TooManyAddressesError
        now = await transaction_time(session)
        row = await repository_addresses.insert_unproven(session, program.id, account_id, named.name, named.namespace, form, now)
    row.network = named.name
    return Registered(row, await _ask(session, program, row, named, Purpose.LINK, origin, by_transfer=by_transfer))


async def ask_for_transfer(
    session: ScopedSession, program: Program, account_id: UUID, address_id: UUID, origin: str
) -> Registered:
    """Ask for the proof that moves an address here from the account that has it. Raises `AddressNotFoundError`."""
    row = await _locked(session, program, account_id, address_id)
    if row.verified_at is not None:
        return Registered(row, None)
    return Registered(row, await _ask(session, program, row, network_named(row.network), Purpose.TRANSFER, origin))


async def _ask(
    session: ScopedSession,
    program: Program,
    row: Address,
    network: NamedNetwork,
    purpose: Purpose,
    origin: str,
    *,
    by_transfer: bool = False,
) -> Challenge:
    transfer_to = None
    if by_transfer:
        # What proves the address is not lost: it goes to the account's own wallet, or stays where it is.
        is_evm = network.namespace == EIP155
        transfer_to = await repository.wallet_of(session, program.id, row.account_id) if is_evm else row.address
    subject = challenges.Subject(
        purpose,
        origin,
        network,
        row.address,
        program_id=program.id,
        brand_id=program.brand_id,
        account_id=row.account_id,
        address_id=row.id,
        transfer_to=transfer_to,
    )
    return await challenges.issue(session, subject)


async def prove(session: ScopedSession, program: Program, challenge: Challenge, proven: Proven) -> Address:
    """Use the challenge up and make its address the account's, by a proof that held.

    Raises `ChallengeUsedError`, `AddressNotFoundError`, and `AddressTakenError` where another account has it and this was
    no challenge to move it: then nothing is used up.
    """
    if challenge.account_id is None or challenge.address_id is None:
        raise AddressNotFoundError
    row = await _locked(session, program, challenge.account_id, challenge.address_id)
    await challenges.use(session, challenge)
    if row.verified_at is not None:
        return row
    return await _take(session, program, row, proven, may_move=challenge.purpose == Purpose.TRANSFER)


async def _locked(session: ScopedSession, program: Program, account_id: UUID | None, address_id: UUID) -> Address:
    """An address of the account (None: of any), which nobody else changes until the transaction ends.

    The address is locked before any account, and accounts by id (SAFETY S15). Raises `AddressNotFoundError`.
    """
    for is_locked in (False, True):
        row = await repository_addresses.address_by_id(session, program.id, address_id)
        if row is None or row.removed_at is not None or account_id not in {None, row.account_id}:
            raise AddressNotFoundError
        if is_locked:
            return row
        await repository_addresses.lock_address(session, program.id, row.namespace, row.address)
    raise AddressNotFoundError


async def _take(session: ScopedSession, program: Program, row: Address, proven: Proven, *, may_move: bool) -> Address:
    """Make a locked, unproven address its account's; away from another where that `may_move`. Raises `AddressTakenError`."""
    now = await transaction_time(session)
    met = await repository_addresses.live_owners(session, program.id, row.namespace, row.address, proven.chain_id)
    others = [owner for owner in met if owner.account_id != row.account_id]
    if others and not may_move:
        raise AddressTakenError
    await repository_members.lock_accounts(session, program.id, {row.account_id, *(owner.account_id for owner in others)})
    for owner in met:
        if owner.account_id == row.account_id and owner.chain_id == proven.chain_id:
            # Proven already, under another network's name: the first proof stands.
            await repository_addresses.end_address(session, program.id, row.id, Ended.REMOVED, now)
            return owner
    for owner in others:
        await repository_addresses.end_address(session, program.id, owner.id, Ended.TRANSFERRED, now)
        await _tell(session, TRANSFERRED, program, owner, {"to_account_id": str(row.account_id)})
    await make_proven(session, program, row, proven, now)
    return row


async def make_proven(session: ScopedSession, program: Program, row: Address, proven: Proven, now: datetime) -> None:
    """Write down that an address is its account's from now on, and when tokens may go there (SAFETY S5)."""
    usable_from = await _usable_from(session, program, row, proven.chain_id, now)
    row.verified_at = now
    row.chain_id = proven.chain_id
    row.proof_method = proven.method.value
    row.proof = proven.text
    row.usable_from = usable_from
    await session.flush()
    account = await repository_members.account_by_id(session, program.id, row.account_id)
    if account is not None and account.primary_address_id is None and usable_from <= now:
        await repository_addresses.prefer(session, program.id, row.account_id, row.id, now)
    told = {"usable_from": usable_from.isoformat(), "waits": usable_from > now, "method": proven.method.value}
    await _tell(session, PROVEN, program, row, told)
    await wake(session, CREDIT_WORK, program.id)


async def _usable_from(session: ScopedSession, program: Program, row: Address, chain_id: int | None, now: datetime) -> datetime:
    """An account's first proven address may be used at once, a later one waits; one that was its own keeps what it had."""
    before = await repository_addresses.last_proof(session, program.id, row.namespace, row.address, chain_id)
    if before is not None and before.account_id == row.account_id and before.usable_from is not None:
        return before.usable_from
    if not await repository_addresses.has_ever_proven(session, program.id, row.account_id):
        return now
    return now + timedelta(hours=program.address_wait_hours)


async def approve(
    session: ScopedSession, program: Program, address_id: UUID, operator: str, reason: str, *, all_chains: bool, move: bool
) -> Address:
    """Make an address its account's by an operator's word, which is kept with it: for those that can't sign.

    Of an EVM address it holds on the network that was asked for, unless it is said to be good for `all_chains`. Raises
    `AddressNotFoundError`, `AddressTakenError`.
    """
    row = await _locked(session, program, None, address_id)
    if row.verified_at is not None:
        return row
    await repository_members.end_challenges_of(session, row.id)
    chain_id = None if all_chains else network_named(row.network).chain_id
    proven = Proven(ProofMethod.OPERATOR, chain_id, json.dumps({"operator": operator, "reason": reason}))
    return await _take(session, program, row, proven, may_move=move)


async def remove(session: ScopedSession, program: Program, account_id: UUID, address_id: UUID) -> None:
    """Take an address off its account; what it earned, and when it was the account's, stays. Raises `AddressNotFoundError`."""
    row = await _locked(session, program, account_id, address_id)
    await repository_members.lock_accounts(session, program.id, [account_id])
    now = await transaction_time(session)
    await repository_members.end_challenges_of(session, row.id)
    await repository_addresses.end_address(session, program.id, row.id, Ended.REMOVED, now)
    if row.verified_at is not None:
        await _tell(session, REMOVED, program, row, {})


async def prefer(session: ScopedSession, program: Program, account_id: UUID, address_id: UUID) -> Address:
    """Make an address the account's primary one. Raises `AddressNotFoundError`, `AddressNotProvenError`, `AddressWaitsError`."""
    await repository_members.lock_accounts(session, program.id, [account_id])
    row = await repository_addresses.address_of(session, program.id, account_id, address_id)
    if row is None:
        raise AddressNotFoundError
    if row.usable_from is None:
        raise AddressNotProvenError
    now = await transaction_time(session)
    if row.usable_from > now:
        raise AddressWaitsError(row.usable_from)
    await repository_addresses.prefer(session, program.id, account_id, address_id, now)
    return row


async def _tell(session: ScopedSession, kind: str, program: Program, row: Address, more: dict[str, Any]) -> None:
    told = {
        "account_id": str(row.account_id),
        "address_id": str(row.id),
        "network": row.network,
        "address": shown(row.namespace, row.address),
        **more,
    }
    await outbox.append(session, kind, told, program_id=program.id)
