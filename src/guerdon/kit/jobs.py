"""Jobs: the table `work`, one row a kind and program (SAFETY S2), woken in the transaction that makes the work.

The process that carries them out is `kit/worker.py`; what is to be done is in the handlers of each domain's `jobs.py`.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, Text, Uuid, func, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit import driver
from guerdon.kit.database import ScopeError, raw_connection
from guerdon.kit.models import Base, Id, Scope, Utc, scope

CHANNEL = "guerdon_work"
"""Notified with the kind when work becomes due earlier than was known; a lost notification only costs a poll."""


class WorkRow(Base):
    """What is to be done for one program (or, with `PLATFORM_PROGRAM_ID`, for the platform).

    `due_at` is cleared when a worker claims the row, so that a wake which arrives while the handler runs is not lost: it
    sets `due_at` again, and the row is claimed once more. A row with neither `due_at` nor `claimed_until` is idle.
    """

    __tablename__ = "work"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    program_id: Mapped[Id] = mapped_column(Uuid, primary_key=True)
    due_at: Mapped[Utc | None]
    not_before: Mapped[Utc | None]
    """Back-off after an error: later wakes do not shorten it."""
    claim: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Counts claims; a worker whose claim expired and was taken by another can no longer finish the row."""
    claimed_until: Mapped[Utc | None]
    claimed_by: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Claims since the last success."""
    last_error: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[Utc] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("ix_work_due_at", "due_at", postgresql_where=text("due_at is not null")),
        Index("ix_work_claimed_until", "claimed_until", postgresql_where=text("claimed_until is not null")),
        scope(Scope.SHARED),
    )


WAKE_SQL = f"""
WITH sooner AS (
    INSERT INTO work AS known (kind, program_id, due_at)
    VALUES ($1, $2, coalesce($3::timestamptz, now()))
    ON CONFLICT (kind, program_id) DO UPDATE SET due_at = excluded.due_at
    WHERE known.due_at IS NULL OR known.due_at > excluded.due_at
    RETURNING known.kind
)
SELECT pg_notify('{CHANNEL}', kind) FROM sooner
"""  # noqa: S608 - a constant
"""Wake work: $1 kind, $2 program, $3 when it is due (null: now).

The earliest time wins. Where work is due as early already, only the row is locked: the claim that clears `due_at` waits for
this transaction and then sees what it wrote. The row is locked until the commit, so this belongs at the transaction's end.
A notification makes commits queue behind each other, so none is sent where one was sent already.
"""


async def wake(session: AsyncSession | driver.RawConnection, kind: str, program_id: UUID, due_at: datetime | None = None) -> None:
    """Have the handler of `kind` run for a program at `due_at` (now, by the database's clock), once this transaction commits.

    Refuses a connection that is not in a transaction: the work and what makes it belong together (DESIGN section 4).
    """
    if isinstance(session, AsyncSession):
        await session.flush()
        connection = await raw_connection(session)
    else:
        connection = session
    if not connection.is_in_transaction():
        message = f"{kind} was woken outside a transaction"
        raise ScopeError(message)
    await connection.execute(WAKE_SQL, kind, program_id, due_at)


async def ensure_scheduled(session: AsyncSession, kind: str, program_id: UUID) -> None:
    """Give a kind that runs periodically its first run; one that is known, due or claimed, is left as it is."""
    connection = await raw_connection(session)
    await connection.execute(
        "INSERT INTO work (kind, program_id, due_at) VALUES ($1, $2, now()) "
        "ON CONFLICT (kind, program_id) DO UPDATE SET due_at = excluded.due_at "
        "WHERE work.due_at IS NULL AND work.claimed_until IS NULL",
        kind,
        program_id,
    )
