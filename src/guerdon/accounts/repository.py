"""SQL of accounts, identities and the master secret of wallets, for whatever is not the hot path."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.accounts.models import Account, Identity, MasterSecret
from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.txmanager.models import Deployment


async def account_of(session: ScopedSession, program_id: UUID, identity: str) -> Account | None:
    """The program's account that an identity leads to."""
    return await session.scalar(
        select(Account)
        .join(Identity, (Identity.program_id == Account.program_id) & (Identity.account_id == Account.id))
        .where(Account.program_id == program_id, Identity.program_id == program_id, Identity.identity == identity)
    )


async def insert_master_secret(session: PlatformSession, name: str, envelope: bytes, fingerprint: str, now: datetime) -> None:
    """Store a new secret unless there is one of that name: the first one stands."""
    values = {"name": name, "envelope": envelope, "fingerprint": fingerprint, "created_at": now, "wrapped_at": now}
    await session.execute(insert(MasterSecret).values(values).on_conflict_do_nothing())


async def master_secret(session: PlatformSession, name: str) -> MasterSecret | None:
    """The secret of that name, still wrapped."""
    return await session.get(MasterSecret, name, populate_existing=True)


async def wrap_master_secret(session: PlatformSession, name: str, fingerprint: str, envelope: bytes, now: datetime) -> None:
    """Replace the wrapping; the fingerprint names the secret that has to stay the same."""
    await session.execute(
        update(MasterSecret)
        .where(MasterSecret.name == name, MasterSecret.fingerprint == fingerprint)
        .values(envelope=envelope, wrapped_at=now)
    )


async def remember_fingerprint(session: PlatformSession, fingerprint: str) -> str | None:
    """The fingerprint that the deployment's row has: this one, if it had none."""
    await session.execute(
        update(Deployment).where(Deployment.wallets_fingerprint.is_(None)).values(wallets_fingerprint=fingerprint)
    )
    return await session.scalar(select(Deployment.wallets_fingerprint))
