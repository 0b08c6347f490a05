"""Permanent idempotency keys for writes through the API: a repeat of the same body gets the first answer.

Event intake keeps its own keys (`activity`); this is for everything else.
"""

from __future__ import annotations

from sqlalchemy import Integer, LargeBinary, Text, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Base, Id, Scope, Utc, scope


class IdempotentRequest(Base):
    """The first answer to a request with a key; it stands as long as the program does.

    Requests of the platform's operators have `PLATFORM_PROGRAM_ID`, the scope that `Database.platform` opens.
    """

    __tablename__ = "idempotent_requests"

    program_id: Mapped[Id] = mapped_column(Uuid, primary_key=True)
    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    """Trust, and for browsers and members the account too (SAFETY S12)."""
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(Integer)
    response: Mapped[bytes] = mapped_column(LargeBinary)
    """The answer's body, encrypted: it may show a key that is shown once."""
    created_at: Mapped[Utc] = mapped_column(server_default=func.now())

    __table_args__ = (scope(Scope.TENANT),)
