"""Jobs.

The queue is the table `work`: one row a kind and program (SAFETY S2), woken in the transaction that makes the work.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Base, Id, Scope, Utc, scope


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
