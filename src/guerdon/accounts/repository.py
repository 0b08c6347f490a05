"""SQL of accounts, identities and the master secret of wallets, for whatever is not the hot path."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.accounts.models import Account, Identity, MasterSecret
from guerdon.kit.database import PlatformSession, ScopedSession


async def account_of(session: ScopedSession, program_id: UUID, identity: str) -> Account | None:
    """The program's account that an identity leads to."""
    return await session.scalar(
        select(Account)
        .join(Identity, (Identity.program_id == Account.program_id) & (Identity.account_id == Account.id))
        .where(Account.program_id == program_id, Identity.program_id == program_id, Identity.identity == identity)
    )


async def wallet_of(session: ScopedSession, program_id: UUID, account_id: UUID) -> str:
    """An account's built-in wallet: where its tokens go (SAFETY S5)."""
    found = await session.scalars(
        select(Account.wallet_address).where(Account.program_id == program_id, Account.id == account_id)
    )
    return found.one()


async def insert_master_secret(session: PlatformSession, name: str, envelope: bytes, fingerprint: str, now: datetime) -> None:
    """Store a new secret unless there is one of that name: the first one stands."""
    values = {"name": name, "envelope": envelope, "fingerprint": fingerprint, "created_at": now, "wrapped_at": now}
    await session.execute(insert(MasterSecret).values(values).on_conflict_do_nothing())


async def master_secret(session: PlatformSession, name: str) -> MasterSecret | None:
    """The secret of that name, still wrapped."""
    return await session.get(MasterSecret, name, populate_existing=True)


async def master_secrets_not_under(session: PlatformSession, master_key_id: bytes) -> dict[bytes, int]:
    """How many of these secrets are wrapped under other master keys than that one, by the id of these."""
    wrapped_under = func.substring(MasterSecret.envelope, 2, len(master_key_id))
    query = select(wrapped_under, func.count()).where(wrapped_under != master_key_id).group_by(wrapped_under)
    return {bytes(key_id): count for key_id, count in await session.execute(query)}


async def wrap_master_secret(session: PlatformSession, name: str, fingerprint: str, envelope: bytes, now: datetime) -> None:
    """Replace the wrapping; the fingerprint names the secret that has to stay the same."""
    await session.execute(
        update(MasterSecret)
        .where(MasterSecret.name == name, MasterSecret.fingerprint == fingerprint)
        .values(envelope=envelope, wrapped_at=now)
    )
