"""All SQL of members: users, their identities, sessions and challenges, and which accounts they have in which programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.accounts.models import Account, Address, Identity, Wallet
from guerdon.accounts.models_members import Challenge, MemberSession, User, UserAccount, UserIdentity
from guerdon.kit.database import PlatformSession, ScopedSession, raw_connection
from guerdon.kit.ids import uuid7
from guerdon.programs.models import Program, ProgramDomain
from guerdon.txmanager.models import Network

# ---- users and what they sign in with -----------------------------------------------------------------------------


async def user_of(session: PlatformSession, identity_hash: bytes) -> UUID | None:
    """The user who proved an identity."""
    return await session.scalar(select(UserIdentity.user_id).where(UserIdentity.identity_hash == identity_hash))


async def insert_user(session: PlatformSession, now: datetime) -> UUID:
    """A new user."""
    user_id = uuid7()
    await session.execute(insert(User).values(id=user_id, created_at=now))
    return user_id


async def insert_identity(session: PlatformSession, values: Mapping[str, Any]) -> bool:
    """Was the identity nobody's yet?"""
    statement = insert(UserIdentity).values(**values).on_conflict_do_nothing().returning(UserIdentity.user_id)
    return await session.scalar(statement) is not None


async def lock_identity(session: PlatformSession, identity_hash: bytes) -> None:
    """Until the transaction ends nobody else makes a user of this identity."""
    number = int.from_bytes(identity_hash[:8], signed=True)
    await (await raw_connection(session)).execute("SELECT pg_advisory_xact_lock($1)", number)


async def identities_of(session: PlatformSession, user_id: UUID) -> Sequence[UserIdentity]:
    """What a user signs in with, in the order in which it was proven."""
    query = select(UserIdentity).where(UserIdentity.user_id == user_id)
    return (await session.scalars(query.order_by(UserIdentity.proven_at, UserIdentity.identity_hash))).all()


async def delete_identity(session: PlatformSession, user_id: UUID, identity_hash: bytes) -> None:
    """The user no longer signs in with it."""
    await session.execute(
        delete(UserIdentity).where(UserIdentity.user_id == user_id, UserIdentity.identity_hash == identity_hash)
    )


async def lock_user(session: PlatformSession, user_id: UUID) -> None:
    """Until the transaction ends nobody else changes what this user has."""
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


async def identities_not_under(session: PlatformSession, master_key_id: bytes) -> dict[bytes, int]:
    """How many identities are sealed under other master keys than that one, by the id of these."""
    sealed_under = func.substring(UserIdentity.identity_encrypted, 2, len(master_key_id))
    query = select(sealed_under, func.count()).where(sealed_under != master_key_id).group_by(sealed_under)
    return {bytes(key_id): count for key_id, count in await session.execute(query)}


async def identities_after(session: PlatformSession, after: bytes, limit: int) -> Sequence[UserIdentity]:
    """A page of all identities, by hash."""
    query = select(UserIdentity).where(UserIdentity.identity_hash > after).order_by(UserIdentity.identity_hash)
    return (await session.scalars(query.limit(limit))).all()


# ---- sessions ------------------------------------------------------------------------------------------------------


async def insert_session(session: PlatformSession, values: Mapping[str, Any]) -> None:
    """Remember a signed-in user."""
    await session.execute(insert(MemberSession).values(**values))


async def valid_session(session: PlatformSession, token_hash: bytes) -> MemberSession | None:
    """The session of a token, unless it has ended; by the database's clock."""
    return await session.scalar(
        select(MemberSession).where(
            MemberSession.token_hash == token_hash,
            MemberSession.revoked_at.is_(None),
            MemberSession.expires_at > func.now(),
        )
    )


async def revoke_session(session: PlatformSession, token_hash: bytes) -> None:
    """End one session."""
    await session.execute(
        update(MemberSession)
        .where(MemberSession.token_hash == token_hash, MemberSession.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


async def revoke_sessions_of(session: PlatformSession, user_id: UUID, program_id: UUID | None = None, *, but: bytes = b"") -> int:
    """End every session of a user, or those bound to one program, `but` the one of that hash; how many there were."""
    statement = update(MemberSession).where(
        MemberSession.user_id == user_id, MemberSession.revoked_at.is_(None), MemberSession.token_hash != but
    )
    if program_id is not None:
        statement = statement.where(MemberSession.program_id == program_id)
    ended = await session.scalars(statement.values(revoked_at=func.now()).returning(MemberSession.token_hash))
    return len(ended.all())


async def delete_old(session: PlatformSession, before: datetime, limit: int) -> int:
    """Forget sessions and challenges that ended before then, some of each; how many went."""
    gone = 0
    for table, key in ((MemberSession, MemberSession.token_hash), (Challenge, Challenge.id)):
        old = select(key).where(table.expires_at < before).limit(limit)
        gone += len((await session.scalars(delete(table).where(key.in_(old)).returning(key))).all())
    return gone


# ---- challenges ----------------------------------------------------------------------------------------------------


async def insert_challenge(session: ScopedSession, values: Mapping[str, Any]) -> Challenge:
    """Remember what somebody is asked to sign."""
    challenge = Challenge(**values)
    session.add(challenge)
    await session.flush()
    return challenge


async def end_challenges_of(session: ScopedSession, address_id: UUID) -> None:
    """Nothing that an address was asked to sign before is good any longer."""
    await session.execute(
        update(Challenge).where(Challenge.address_id == address_id, Challenge.used_at.is_(None)).values(used_at=func.now())
    )


async def challenge_by_nonce(session: PlatformSession, nonce: str) -> Challenge | None:
    """What was asked to be signed under a nonce."""
    return await session.scalar(select(Challenge).where(Challenge.nonce == nonce).execution_options(populate_existing=True))


async def latest_challenge_of(session: ScopedSession, address_id: UUID) -> Challenge | None:
    """What an address was asked to sign last."""
    query = select(Challenge).where(Challenge.address_id == address_id).order_by(Challenge.id.desc()).limit(1)
    return await session.scalar(query.execution_options(populate_existing=True))


async def use_challenge(session: ScopedSession, challenge_id: UUID) -> bool:
    """Use a challenge up; was it still good? Of two at once, one is told no (SAFETY S7)."""
    used = await session.scalar(
        update(Challenge)
        .where(Challenge.id == challenge_id, Challenge.used_at.is_(None), Challenge.expires_at > func.now())
        .values(used_at=func.now())
        .returning(Challenge.id)
        .execution_options(synchronize_session=False)
    )
    return used is not None


# ---- accounts of users ---------------------------------------------------------------------------------------------


async def accounts_of_user(session: ScopedSession, program_id: UUID, user_id: UUID) -> Sequence[Account]:
    """The user's accounts of the program, the oldest first."""
    query = (
        select(Account)
        .where(Account.program_id == program_id, Account.user_id == user_id)
        .order_by(Account.id)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


async def account_by_id(session: ScopedSession, program_id: UUID, account_id: UUID, *, lock: bool = False) -> Account | None:
    """An account of the program."""
    query = select(Account).where(Account.program_id == program_id, Account.id == account_id)
    if lock:
        query = query.with_for_update(key_share=True)
    return await session.scalar(query.execution_options(populate_existing=True))


async def lock_accounts(session: ScopedSession, program_id: UUID, account_ids: Collection[UUID]) -> None:
    """Lock accounts in the order of their ids (SAFETY S15)."""
    query = select(Account.id).where(Account.program_id == program_id, Account.id.in_(account_ids)).order_by(Account.id)
    await session.execute(query.with_for_update(key_share=True))


async def untied_by_identity(session: ScopedSession, program_id: UUID, identities: Collection[str]) -> Sequence[UUID]:
    """Accounts without a user that one of these identities leads to."""
    query = (
        select(Account.id)
        .join(Identity, (Identity.program_id == Account.program_id) & (Identity.account_id == Account.id))
        .where(
            Account.program_id == program_id,
            Identity.program_id == program_id,
            Identity.identity.in_(identities),
            Account.user_id.is_(None),
        )
    )
    return (await session.scalars(query.distinct())).all()


async def untied_by_address(
    session: ScopedSession, program_id: UUID, namespace: str, address: str, chain_id: int | None
) -> Sequence[UUID]:
    """Accounts without a user whose proven address this is, with the same coverage (SAFETY S7)."""
    query = (
        select(Account.id)
        .join(Address, (Address.program_id == Account.program_id) & (Address.account_id == Account.id))
        .where(
            Account.program_id == program_id,
            Address.program_id == program_id,
            Address.namespace == namespace,
            Address.address == address,
            Address.verified_at.is_not(None),
            Address.removed_at.is_(None),
            Address.chain_id.is_not_distinct_from(chain_id),
            Account.user_id.is_(None),
        )
    )
    return (await session.scalars(query.distinct())).all()


async def tie_accounts(
    session: ScopedSession, program_id: UUID, user_id: UUID, account_ids: Collection[UUID], now: datetime
) -> Sequence[UUID]:
    """Give those of these accounts that have no user to this one; which they were."""
    statement = (
        update(Account)
        .where(Account.program_id == program_id, Account.id.in_(account_ids), Account.user_id.is_(None))
        .values(user_id=user_id, updated_at=now)
        .returning(Account.id)
        .execution_options(synchronize_session=False)
    )
    return (await session.scalars(statement)).all()


async def note_accounts(
    session: PlatformSession, user_id: UUID, program_id: UUID, account_ids: Collection[UUID], now: datetime
) -> None:
    """Write accounts into the user's directory."""
    if account_ids:
        rows = [
            {"user_id": user_id, "program_id": program_id, "account_id": account_id, "tied_at": now} for account_id in account_ids
        ]
        await session.execute(insert(UserAccount).values(rows).on_conflict_do_nothing())


async def directory_of(session: PlatformSession, user_id: UUID) -> Sequence[tuple[UUID, str, UUID]]:
    """The user's accounts in all programs: program, its brand id, account."""
    query = (
        select(UserAccount.program_id, Program.brand_id, UserAccount.account_id)
        .join(Program, Program.id == UserAccount.program_id)
        .where(UserAccount.user_id == user_id)
        .order_by(UserAccount.program_id, UserAccount.account_id)
    )
    return [(program_id, brand_id, account_id) for program_id, brand_id, account_id in await session.execute(query)]


async def insert_account(session: ScopedSession, program_id: UUID, identity: str, values: Mapping[str, Any]) -> None:
    """A new account and the identity that leads to it. Raises the database's unique violation if that leads to one already."""
    await session.execute(insert(Account).values(program_id=program_id, **values))
    await session.execute(
        insert(Identity).values(
            program_id=program_id, identity=identity, account_id=values["id"], created_at=values["created_at"]
        )
    )


async def insert_wallet(session: ScopedSession, values: Mapping[str, Any]) -> None:
    """Remember a built-in wallet; the first one of an identity stands."""
    await session.execute(insert(Wallet).values(**values).on_conflict_do_nothing())


# ---- look-ups ------------------------------------------------------------------------------------------------------


async def programs_at_host(session: ScopedSession, host: str) -> Sequence[UUID]:
    """The programs that have registered this host itself, two at most."""
    query = select(ProgramDomain.program_id).where(ProgramDomain.domain == host).order_by(ProgramDomain.program_id)
    return (await session.scalars(query.limit(2))).all()


async def is_anyones_domain(session: ScopedSession, domains: Collection[str]) -> bool:
    """Has any program registered one of these?"""
    return await session.scalar(select(ProgramDomain.domain).where(ProgramDomain.domain.in_(domains)).limit(1)) is not None


async def network_of_chain(session: ScopedSession, name: str, chain_id: int) -> str | None:
    """What an EVM network is called here; by its usual name if it has that."""
    query = select(Network.name).where(or_(Network.name == name, Network.chain_id == chain_id), Network.chain_id == chain_id)
    return await session.scalar(query.order_by((Network.name != name), Network.name).limit(1))
