"""SQL of reversals: the event they take back, and the reversal itself."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.activity.models import Event, EventKey, Reversal
from guerdon.earning.models import Accrual
from guerdon.kit.database import ScopedSession


async def event_id_by_key(session: ScopedSession, program_id: UUID, key_hash: bytes) -> UUID | None:
    """The event that was booked under this idempotency key."""
    return await session.scalar(select(EventKey.event_id).where(EventKey.program_id == program_id, EventKey.key_hash == key_hash))


async def keys_used(session: ScopedSession, program_id: UUID, key_hashes: list[bytes]) -> list[EventKey]:
    """Which of these keys and signatures were used, and for what."""
    return list(
        await session.scalars(select(EventKey).where(EventKey.program_id == program_id, EventKey.key_hash.in_(key_hashes)))
    )


async def bind_keys(
    session: ScopedSession, program_id: UUID, key_hashes: Sequence[bytes], used_for: UUID, body_hash: bytes, operation: str
) -> int:
    """Remember what these keys and signatures were used for; how many of them were new."""
    if not key_hashes:
        return 0
    rows = [
        {"program_id": program_id, "key_hash": key, "event_id": used_for, "body_hash": body_hash, "operation": operation}
        for key in sorted(set(key_hashes))
    ]
    bound = await session.scalars(insert(EventKey).values(rows).on_conflict_do_nothing().returning(EventKey.key_hash))
    return len(bound.all())


async def event(session: ScopedSession, program_id: UUID, event_id: UUID) -> Event | None:
    """One event."""
    return await session.scalar(select(Event).where(Event.program_id == program_id, Event.id == event_id))


async def accrual(session: ScopedSession, program_id: UUID, event_id: UUID) -> Accrual | None:
    """What the event earned."""
    return await session.scalar(select(Accrual).where(Accrual.program_id == program_id, Accrual.id == event_id))


async def lock_accrual(session: ScopedSession, program_id: UUID, event_id: UUID) -> Accrual | None:
    """What the event earned, locked: reversals of one event come one after the other."""
    return await session.scalar(
        select(Accrual)
        .where(Accrual.program_id == program_id, Accrual.id == event_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


async def add_reversed(session: ScopedSession, program_id: UUID, event_id: UUID, points: int) -> None:
    """Count `points` of the locked accrual as reversed."""
    await session.execute(
        update(Accrual).where(Accrual.program_id == program_id, Accrual.id == event_id).values(reversed=Accrual.reversed + points)
    )


async def reversal(session: ScopedSession, program_id: UUID, reversal_id: UUID) -> Reversal | None:
    """One reversal."""
    return await session.scalar(select(Reversal).where(Reversal.program_id == program_id, Reversal.id == reversal_id))
