"""Accounts of a program, the identities that lead to them, and the wallets created for identities."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Base, Scope, Utc, scope


class Account(Base):
    """A person or an agent that earns in one program."""

    __tablename__ = "accounts"
    __table_args__ = (ForeignKeyConstraint(["program_id"], ["programs.id"]), scope(Scope.TENANT))

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    wallet_address: Mapped[str]
    """The built-in EVM wallet of the account's first identity, checksummed: where its tokens go by default."""
    reported_wallet: Mapped[str | None]
    """What a report named as the user's wallet: a hint, never a destination (SAFETY S5)."""
    created_at: Mapped[Utc]


class Identity(Base):
    """One way to know a person: `email:a@example.org`, `discord:123`. Leads to one account of the program."""

    __tablename__ = "identities"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "account_id"], ["accounts.program_id", "accounts.id"]),
        Index("ix_identities_account", "program_id", "account_id"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    created_at: Mapped[Utc]


class Wallet(Base):
    """A custodial wallet of an identity, the same in every program; known by the identity's keyed hash."""

    __tablename__ = "wallets"
    __table_args__ = (scope(Scope.SHARED),)

    identity_hash: Mapped[bytes] = mapped_column(primary_key=True)
    namespace: Mapped[str] = mapped_column(primary_key=True)
    """`eip155` or `solana`."""
    address: Mapped[str]
    provider: Mapped[str]
    derivation: Mapped[int]
    """Version of normalisation and derivation, frozen once used (SAFETY S6)."""
    created_at: Mapped[Utc]


class MasterSecret(Base):
    """The secret that built-in wallets are derived from, encrypted; made once and never changed (SAFETY S6)."""

    __tablename__ = "master_secrets"
    __table_args__ = (scope(Scope.SECRET),)

    name: Mapped[str] = mapped_column(primary_key=True)
    envelope: Mapped[bytes]
    """Wrapped by the key ring; wrapped anew when the ring's key is rotated."""
    fingerprint: Mapped[str]
    created_at: Mapped[Utc]
    wrapped_at: Mapped[Utc]
