"""Signing in: a proven wallet becomes a user, a user gets a session, a session ends. Of tokens only hashes are kept.

Which accounts a user has is `membership.py`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from guerdon.accounts import challenges, repository_members
from guerdon.accounts.errors import (
    IdentityNotFoundError,
    IdentityTakenError,
    LastIdentityError,
    NotSignedInError,
    SessionBoundError,
    SignInAgainError,
)
from guerdon.accounts.identities import Identity, from_wallet
from guerdon.accounts.models_members import Challenge, MemberSession
from guerdon.accounts.proofs import Proven
from guerdon.accounts.wallets import WalletProvider
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, transaction_time
from guerdon.kit.secrets import KeyRing, new_token

TOKEN_PREFIX: Final = "gms_"  # noqa: S105 - the prefix of all, and no secret
_TOKEN: Final = re.compile(r"gms_[A-Za-z0-9_-]{43}")
_SEALED: Final = b"user_identities"
_FRESH: Final = timedelta(minutes=10)
IDENTITY_ADDED: Final = "identity.added"
IDENTITY_REMOVED: Final = "identity.removed"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session with its token, which is shown this once."""

    user_id: UUID
    token: str
    expires_at: datetime
    identity: Identity


def hash_token(token: str) -> bytes | None:
    """What is stored of a token, None if it is none of ours. It has 256 bits of its own: a fast hash is as good as a slow one."""
    return hashlib.sha256(token.encode("ascii")).digest() if _TOKEN.fullmatch(token) is not None else None


async def sign_in(
    session: PlatformSession,
    ring: KeyRing,
    wallets: WalletProvider,
    challenge: Challenge,
    proven: Proven,
    *,
    life: timedelta,
    in_cookie: bool,
    replaces: bytes | None = None,
) -> SignedIn:
    """Use the challenge up and open a session for the user whose wallet it is; a wallet that nobody has makes a user.

    `replaces`: the hash of the token that the caller came with, whose session ends. Raises `ChallengeUsedError`.
    """
    await challenges.use(session, challenge)
    now = await transaction_time(session)
    identity = from_wallet(challenge.namespace, challenge.address, proven.chain_id)
    hashed = wallets.identity_hash(identity)
    user_id = await repository_members.user_of(session, hashed)
    if user_id is None:
        user_id = await _new_user(session, ring, hashed, identity, proven, now)
    if replaces is not None:
        await repository_members.revoke_session(session, replaces)
    token = new_token(TOKEN_PREFIX)
    expires_at = now + life
    await repository_members.insert_session(
        session,
        {
            "token_hash": hash_token(token),
            "user_id": user_id,
            "program_id": challenge.program_id,
            "in_cookie": in_cookie,
            "created_at": now,
            "expires_at": expires_at,
            "revoked_at": None,
        },
    )
    return SignedIn(user_id, token, expires_at, identity)


async def _new_user(
    session: PlatformSession, ring: KeyRing, hashed: bytes, identity: Identity, proven: Proven, now: datetime
) -> UUID:
    # Of two who sign in with the same new wallet at once, the second finds what the first made (SAFETY S10).
    await repository_members.lock_identity(session, hashed)
    known = await repository_members.user_of(session, hashed)
    if known is not None:
        return known
    user_id = await repository_members.insert_user(session, now)
    await _insert_identity(session, ring, user_id, hashed, identity, proven, now)
    return user_id


async def add_identity(
    session: PlatformSession, ring: KeyRing, wallets: WalletProvider, challenge: Challenge, proven: Proven, user_id: UUID
) -> Identity:
    """One more wallet for a user to sign in with. Raises `ChallengeUsedError`, `IdentityTakenError`."""
    await challenges.use(session, challenge)
    now = await transaction_time(session)
    identity = from_wallet(challenge.namespace, challenge.address, proven.chain_id)
    hashed = wallets.identity_hash(identity)
    await repository_members.lock_identity(session, hashed)
    if (
        not await _insert_identity(session, ring, user_id, hashed, identity, proven, now)
        and await repository_members.user_of(session, hashed) != user_id
    ):
        raise IdentityTakenError
    await outbox.append(session, IDENTITY_ADDED, {"user_id": str(user_id)})
    return identity


async def _insert_identity(  # noqa: PLR0917 - a row
    session: PlatformSession,
    ring: KeyRing,
    user_id: UUID,
    hashed: bytes,
    identity: Identity,
    proven: Proven,
    now: datetime,
) -> bool:
    return await repository_members.insert_identity(
        session,
        {
            "identity_hash": hashed,
            "user_id": user_id,
            "namespace": identity.partition(":")[0],
            "method": proven.method.value,
            "identity_encrypted": ring.encrypt(identity.encode("utf-8"), _SEALED + hashed),
            "proven_at": now,
        },
    )


async def session_of(session: PlatformSession, token: str, *, in_cookie: bool) -> MemberSession:
    """The session of a token, which counts only the way it was given out. Raises `NotSignedInError`, whatever is wrong."""
    hashed = hash_token(token)
    found = None if hashed is None else await repository_members.valid_session(session, hashed)
    if found is None or found.in_cookie != in_cookie:
        raise NotSignedInError
    return found


async def require_fresh(session: PlatformSession, current: MemberSession) -> None:
    """Whoever found a session must not make it theirs for good. Raises `SignInAgainError`, `SessionBoundError`."""
    if current.program_id is not None:
        raise SessionBoundError
    if await transaction_time(session) - current.created_at > _FRESH:
        raise SignInAgainError


async def remove_identity(
    session: PlatformSession,
    wallets: WalletProvider,
    current: MemberSession,
    namespace: str,
    address: str,
    chain_id: int | None,
) -> None:
    """The user no longer signs in with this wallet, and whoever did is signed out: every session but this one ends.

    Accounts stay. Raises `IdentityNotFoundError`, `LastIdentityError`.
    """
    user_id = current.user_id
    await repository_members.lock_user(session, user_id)
    known = {row.identity_hash for row in await repository_members.identities_of(session, user_id)}
    forms = [from_wallet(namespace, address), *([] if chain_id is None else [from_wallet(namespace, address, chain_id)])]
    found = [hashed for form in forms if (hashed := wallets.identity_hash(form)) in known]
    if not found:
        raise IdentityNotFoundError
    if len(known) == 1:
        raise LastIdentityError
    await repository_members.delete_identity(session, user_id, found[0])
    await repository_members.revoke_sessions_of(session, user_id, but=current.token_hash)
    await outbox.append(session, IDENTITY_REMOVED, {"user_id": str(user_id)})


async def sign_out(session: PlatformSession, current: MemberSession, *, everywhere: bool) -> None:
    """End the session, or all of the user's: those of the same program, where it is bound to one."""
    if everywhere:
        await repository_members.revoke_sessions_of(session, current.user_id, current.program_id)
    else:
        await repository_members.revoke_session(session, current.token_hash)


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    """What a user signs in with."""

    identity: Identity
    method: str
    proven_at: datetime


async def identities_of(session: PlatformSession, ring: KeyRing, user_id: UUID) -> list[KnownIdentity]:
    """What a user signs in with, in the order in which it was proven."""
    return [
        KnownIdentity(
            Identity(ring.decrypt(row.identity_encrypted, _SEALED + row.identity_hash).decode("utf-8")), row.method, row.proven_at
        )
        for row in await repository_members.identities_of(session, user_id)
    ]


async def rewrap_identities(session: PlatformSession, ring: KeyRing, after: bytes, limit: int) -> tuple[int, bytes | None]:
    """Seal some identities under the ring's current key; how many were under an older one, and where to go on."""
    rows = await repository_members.identities_after(session, after, limit)
    changed = 0
    for row in rows:
        if not ring.is_current(row.identity_encrypted) and ring.opens(row.identity_encrypted):
            row.identity_encrypted = ring.rewrap(row.identity_encrypted, _SEALED + row.identity_hash)
            changed += 1
    return changed, rows[-1].identity_hash if len(rows) == limit else None
