"""Addresses that a program has nothing to do with."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Base, Scope, Utc, scope


class DeniedAddress(Base):
    """An address that earns nothing and is paid nothing."""

    __tablename__ = "denied_addresses"
    __table_args__ = (scope(Scope.TENANT),)

    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    """EVM in lower case, Solana as it is."""
    reason: Mapped[str]
    created_at: Mapped[Utc]
