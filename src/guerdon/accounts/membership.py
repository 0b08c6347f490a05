"""Which accounts a user has in a program: tying those that an identity or a proven address leads to, making the first one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from guerdon.accounts import registry, repository_addresses, repository_members
from guerdon.accounts.errors import AccountNotFoundError, NotSignedInError
from guerdon.accounts.identities import wallet_of_identity
from guerdon.accounts.models import Account, ProofMethod
from guerdon.accounts.proofs import Proven
from guerdon.accounts.sign_in import KnownIdentity, identities_of
from guerdon.accounts.wallets import DERIVATION_VERSION, WalletProvider
from guerdon.chains.networks import EIP155, SOLANA
from guerdon.kit.database import UNIQUE_VIOLATION, PlatformSession, program_scope, sqlstate, transaction_time
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing
from guerdon.programs.models import Program

_KEYS: Final = frozenset({ProofMethod.EIP191, ProofMethod.ED25519})
_NETWORKS: Final = {EIP155: "ethereum", SOLANA: "solana"}
"""What is said as the network of a wallet that was proven for all of its kind."""


async def accounts_of(session: PlatformSession, ring: KeyRing, program: Program, user_id: UUID) -> Sequence[Account]:
    """The user's accounts of the program, the oldest first; those that nobody has and that lead to this user are tied now."""
    await repository_members.lock_user(session, user_id)
    identities = await identities_of(session, ring, user_id)
    async with program_scope(session, program.id):
        await _tie(session, program, user_id, identities)
        return await repository_members.accounts_of_user(session, program.id, user_id)


async def open_account(
    session: PlatformSession, ring: KeyRing, wallets: WalletProvider, program: Program, user_id: UUID
) -> tuple[Account, bool]:
    """The user's account of the program, the oldest if there are several; made if there is none. Is it new?"""
    known = await accounts_of(session, ring, program, user_id)
    if known:
        return known[0], False
    identities = await identities_of(session, ring, user_id)
    if not identities:
        raise NotSignedInError
    now = await transaction_time(session)
    first = identities[0]
    account_id = uuid7()
    wallet = wallets.addresses([first.identity])[0]
    values = {"id": account_id, "wallet_address": wallet, "user_id": user_id, "created_at": now}
    custody = {
        "identity_hash": wallets.identity_hash(first.identity),
        "namespace": EIP155,
        "address": wallet,
        "provider": wallets.name,
        "derivation": DERIVATION_VERSION,
        "created_at": now,
    }
    async with program_scope(session, program.id):
        try:
            async with session.begin_nested():
                await repository_members.insert_account(session, program.id, first.identity, values)
        except IntegrityError as error:
            if sqlstate(error) != UNIQUE_VIOLATION:
                raise
            # A report about the same wallet made its account meanwhile.
            await _tie(session, program, user_id, identities)
        else:
            await repository_members.insert_wallet(session, custody)
            await repository_members.note_accounts(session, user_id, program.id, [account_id], now)
            await _link(session, program, account_id, first, now)
        found = await repository_members.accounts_of_user(session, program.id, user_id)
    if not found:
        # The identity leads to an account that somebody else signed in to.
        raise AccountNotFoundError
    return found[0], found[0].id == account_id


async def _tie(session: PlatformSession, program: Program, user_id: UUID, identities: Sequence[KnownIdentity]) -> None:
    """Tie accounts without a user to the one who proved an identity or an address of theirs."""
    now = await transaction_time(session)
    by_identity: dict[UUID, KnownIdentity] = {}
    wanted: set[UUID] = set()
    for known in identities:
        for account_id in await repository_members.untied_by_identity(session, program.id, [known.identity]):
            by_identity[account_id] = known
            wanted.add(account_id)
        wallet = wallet_of_identity(known.identity)
        if wallet is not None:
            wanted.update(await repository_members.untied_by_address(session, program.id, *wallet))
    if not wanted:
        return
    # Addresses before accounts, as everywhere (`registry.py`).
    for namespace, address in sorted(
        wallet[:2] for known in by_identity.values() if (wallet := wallet_of_identity(known.identity))
    ):
        await repository_addresses.lock_address(session, program.id, namespace, address)
    tied = await repository_members.tie_accounts(session, program.id, user_id, sorted(wanted), now)
    await repository_members.note_accounts(session, user_id, program.id, tied, now)
    for account_id in tied:
        if account_id in by_identity:
            await _link(session, program, account_id, by_identity[account_id], now)


async def _link(session: PlatformSession, program: Program, account_id: UUID, known: KnownIdentity, now: datetime) -> None:
    """The wallet that an account's identity is was proven when its user signed in: it is the account's first address.

    Not a contract wallet's, whose word has to be on record to be asked for again (SAFETY S7); not one that another account of
    the program has; and never again once the account had any.
    """
    wallet = wallet_of_identity(known.identity)
    if wallet is None or known.method not in _KEYS:
        return
    namespace, address, _ = wallet
    if await repository_addresses.has_ever_proven(session, program.id, account_id):
        return
    await repository_addresses.lock_address(session, program.id, namespace, address)
    if await repository_addresses.live_owners(session, program.id, namespace, address, None):
        return
    row = await repository_addresses.insert_unproven(
        session, program.id, account_id, _NETWORKS[namespace], namespace, address, now
    )
    proven = Proven(ProofMethod(known.method), None, json.dumps({"signed_in_at": known.proven_at.isoformat()}))
    await registry.make_proven(session, program, row, proven, now)
