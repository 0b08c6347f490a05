"""Members: users, what they sign in with, their sessions, and the texts that wallets are asked to sign. All of the platform's."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Scope, Utc, scope


class Purpose(StrEnum):
    """What a signed challenge is for: it is good for nothing else (SAFETY S7)."""

    SIGN_IN = "sign_in"
    ADD_IDENTITY = "add_identity"
    """One more wallet for a user to sign in with."""
    LINK = "link"
    TRANSFER = "transfer"
    """Take an address over from the account of the program that has it."""


class User(Base):
    """A person who signed in; known by identities, and by nothing else."""

    __tablename__ = "users"
    __table_args__ = (scope(Scope.SECRET),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[Utc]


class UserIdentity(Base):
    """An identity that a user proved, known by its keyed hash (SAFETY S2). It is one user's only."""

    __tablename__ = "user_identities"
    __table_args__ = (
        Index("ix_user_identities_user", "user_id"),
        CheckConstraint("method in ('eip191', 'eip1271', 'eip6492', 'ed25519')", name="method"),
        scope(Scope.SECRET),
    )

    identity_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    namespace: Mapped[str]
    method: Mapped[str]
    identity_encrypted: Mapped[bytes]
    """The identity itself: by it the accounts are found that it leads to."""
    proven_at: Mapped[Utc]


class UserAccount(Base):
    """Which accounts a user has, in which programs: the directory that sign-in reads (SAFETY S2)."""

    __tablename__ = "user_accounts"
    __table_args__ = (scope(Scope.SECRET),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    tied_at: Mapped[Utc]


class MemberSession(Base):
    """A signed-in user; of the token only its hash is kept."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user", "user_id"), Index("ix_sessions_expires", "expires_at"), scope(Scope.SECRET))

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    program_id: Mapped[UUID | None] = mapped_column(ForeignKey("programs.id"))
    """Where it was opened on a program's page: it is good for that program alone. Null: on our own pages, good for all."""
    in_cookie: Mapped[bool]
    """Was the token given to a browser to keep in a cookie? Then it is no bearer token, and the other way round."""
    created_at: Mapped[Utc]
    expires_at: Mapped[Utc]
    revoked_at: Mapped[Utc | None]


class Challenge(Base):
    """A text to be signed by one address for one purpose, once, within minutes (SAFETY S7)."""

    __tablename__ = "challenges"
    __table_args__ = (
        CheckConstraint("purpose in ('sign_in', 'add_identity', 'link', 'transfer')", name="purpose"),
        CheckConstraint(
            "case when purpose in ('link', 'transfer') then program_id is not null and account_id is not null "
            "and address_id is not null else account_id is null and address_id is null end",
            name="bound",
        ),
        CheckConstraint("(purpose = 'add_identity') = (user_id is not null)", name="user"),
        Index("ix_challenges_expires", "expires_at"),
        # Who only asks to sign in makes rows too: what an address was asked is found among them.
        Index("ix_challenges_address", "address_id", "id", postgresql_where=text("address_id is not null")),
        # Of an address one challenge lives at a time: a fresh one ends the one before.
        Index(
            "uq_challenges_live",
            "program_id",
            "account_id",
            "address_id",
            unique=True,
            postgresql_where=text("used_at is null and address_id is not null"),
        ),
        scope(Scope.JOINT),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    program_id: Mapped[UUID | None]
    """Of a sign-in: the program whose page asked for it."""
    purpose: Mapped[str]
    user_id: Mapped[UUID | None]
    account_id: Mapped[UUID | None]
    address_id: Mapped[UUID | None]
    network: Mapped[str]
    namespace: Mapped[str]
    chain_id: Mapped[int | None]
    """Of the network that was asked for, where it is an EVM network: where a contract wallet is asked."""
    address: Mapped[str]
    nonce: Mapped[str] = mapped_column(unique=True)
    message: Mapped[str]
    transfer_to: Mapped[str | None]
    """Instead of a signature: native coin sent there by the address, `transfer_amount` of the smallest unit, proves it too."""
    transfer_amount: Mapped[Atomic | None]
    expires_at: Mapped[Utc]
    used_at: Mapped[Utc | None]
    created_at: Mapped[Utc]
