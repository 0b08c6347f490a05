"""All SQL of admin keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from guerdon.kit.database import ScopedSession
from guerdon.programs.models import AdminKey


async def insert_admin_key(session: ScopedSession, values: Mapping[str, Any]) -> AdminKey:
    """The new key."""
    key = AdminKey(**values)
    session.add(key)
    await session.flush()
    return key


async def admin_key_by_id(session: ScopedSession, key_id: UUID) -> AdminKey | None:
    """The key of that id, revoked or not."""
    return await session.get(AdminKey, key_id, populate_existing=True)


async def admin_keys_after(
    session: ScopedSession, after: UUID | None, limit: int, program_id: UUID | None = None
) -> Sequence[AdminKey]:
    """A page of keys, of one program where one is given, in the order in which they were made."""
    query = select(AdminKey).order_by(AdminKey.id).limit(limit)
    if after is not None:
        query = query.where(AdminKey.id > after)
    if program_id is not None:
        query = query.where(AdminKey.program_id == program_id)
    return (await session.scalars(query)).all()


async def revoke_admin_key(session: ScopedSession, key_id: UUID, now: datetime) -> AdminKey | None:
    """The key, revoked now if it was not before."""
    return await session.scalar(
        update(AdminKey)
        .where(AdminKey.id == key_id)
        .values(revoked_at=func.coalesce(AdminKey.revoked_at, now))
        .returning(AdminKey)
        .execution_options(populate_existing=True)
    )


async def has_platform_key(session: ScopedSession) -> bool:
    """Is there an admin key of the platform that is not revoked?"""
    query = select(AdminKey.id).where(AdminKey.program_id.is_(None), AdminKey.revoked_at.is_(None)).limit(1)
    return await session.scalar(query) is not None
