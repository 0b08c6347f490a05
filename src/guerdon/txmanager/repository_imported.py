"""SQL for transactions that were found on the chain and that this database did not know (SAFETY S21). Others: `repository.py`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.models import constants
from guerdon.txmanager.models import Intent, IntentState

IMPORTED = "imported"
"""The kind of an intent that was found on the chain and is accounted for."""
UNMATCHED = "unmatched"
"""The same where something of it is not accounted for; its `error` says what."""


async def insert_found(session: PlatformSession, values: dict[str, Any]) -> None:
    """Record a transaction that the chain shows to be final."""
    await session.execute(insert(Intent).values(**values, created_at=func.now(), updated_at=func.now()))


async def unmatched(session: ScopedSession, key_id: UUID) -> list[Intent]:
    """What a key sent and is not accounted for, in nonce order."""
    query = select(Intent).where(Intent.key_id == key_id, Intent.kind == UNMATCHED).order_by(Intent.nonce)
    return list(await session.scalars(query.execution_options(populate_existing=True)))


async def note_found(session: PlatformSession, intent_id: UUID, *, kind: str, error: str | None) -> None:
    """What became of accounting for it."""
    await session.execute(
        update(Intent).where(Intent.id == intent_id).values(kind=kind, error=error, updated_at=func.clock_timestamp())
    )


async def same_call(session: PlatformSession, key_id: UUID, to: str | None, data: bytes, value_wei: int) -> Intent | None:
    """The oldest intent of a key that is to do exactly this and is in no block."""
    return await session.scalar(
        select(Intent)
        .where(
            Intent.key_id == key_id,
            Intent.state.in_(constants(IntentState.QUEUED, IntentState.BOUND, IntentState.UNKNOWN)),
            func.lower(func.coalesce(Intent.to_address, "")) == (to or "").lower(),
            Intent.data == data,
            Intent.value_wei == value_wei,
        )
        .order_by(Intent.id)
        .limit(1)
        .execution_options(populate_existing=True)
    )


async def lost_their_nonce(session: PlatformSession, key_id: UUID, below: int) -> list[Intent]:
    """Unknown intents of a key whose nonce is finally used: by another transaction, since their own would have been found."""
    return list(
        await session.scalars(
            select(Intent)
            .where(Intent.key_id == key_id, Intent.state.in_(constants(IntentState.UNKNOWN)), Intent.nonce < below)
            .order_by(Intent.nonce)
            .execution_options(populate_existing=True)
        )
    )
