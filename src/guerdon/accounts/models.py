"""Accounts of a program, the identities and addresses that lead to them, and the wallets created for identities.

Who signs in, and what is to be signed, is `models_members.py`.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Base, Scope, Utc, scope


class ProofMethod(StrEnum):
    """How an address was shown to be somebody's (SAFETY S7)."""

    EIP191 = "eip191"
    EIP1271 = "eip1271"
    """A contract wallet said so, on its one chain."""
    EIP6492 = "eip6492"
    """The same of a wallet that is not deployed yet."""
    ED25519 = "ed25519"
    TRANSFER = "transfer"
    """A transfer of native coin of an amount asked for once."""
    OPERATOR = "operator"


class Ended(StrEnum):
    """Why an address no longer belongs to an account."""

    REMOVED = "removed"
    TRANSFERRED = "transferred"
    """Another account of the program proved it and asked for it."""


class Account(Base):
    """A person or an agent that earns in one program."""

    __tablename__ = "accounts"
    __table_args__ = (
        ForeignKeyConstraint(["program_id"], ["programs.id"]),
        ForeignKeyConstraint(["user_id"], ["users.id"]),
        ForeignKeyConstraint(["program_id", "primary_address_id"], ["addresses.program_id", "addresses.id"], use_alter=True),
        Index("ix_accounts_user", "program_id", "user_id", postgresql_where=text("user_id is not null")),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    wallet_address: Mapped[str]
    """The built-in EVM wallet of the account's first identity, checksummed: where its tokens go by default."""
    reported_wallet: Mapped[str | None]
    """What a report named as the user's wallet: a hint, never a destination (SAFETY S5)."""
    user_id: Mapped[UUID | None]
    """Who signed in with an identity or a proven address of it; null: nobody yet."""
    primary_address_id: Mapped[UUID | None]
    """The proven address that its member prefers."""
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc | None]
    """When user or primary address were last set; null: never."""


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


class Address(Base):
    """A wallet address of an account. Rows are never deleted: `[verified_at, removed_at)` is when it belonged to the account."""

    __tablename__ = "addresses"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "account_id"], ["accounts.program_id", "accounts.id"]),
        CheckConstraint("namespace in ('eip155', 'solana')", name="namespace"),
        CheckConstraint("namespace <> 'eip155' or address ~ '^0x[0-9a-f]{40}$'", name="form"),
        CheckConstraint("chain_id is null or (namespace = 'eip155' and verified_at is not null)", name="chain"),
        CheckConstraint(
            "proof_method in ('eip191', 'eip1271', 'eip6492', 'ed25519', 'transfer', 'operator')", name="proof_method"
        ),
        CheckConstraint(
            "(verified_at is null) = (proof_method is null) and (verified_at is null) = (usable_from is null)", name="verified"
        ),
        CheckConstraint("(removed_at is null) = (ended is null) and ended in ('removed', 'transferred')", name="ended"),
        Index("ix_addresses_verified", "program_id", "verified_at"),
        # One live proven owner. Whether a proof of one chain and one of all chains meet is asked under a lock
        # (`repository_addresses.lock_address`).
        Index(
            "uq_addresses_owner",
            "program_id",
            "namespace",
            "address",
            unique=True,
            postgresql_where=text("verified_at is not null and removed_at is null and chain_id is null"),
        ),
        Index(
            "uq_addresses_owner_on_chain",
            "program_id",
            "namespace",
            "address",
            "chain_id",
            unique=True,
            postgresql_where=text("verified_at is not null and removed_at is null and chain_id is not null"),
        ),
        Index(
            "uq_addresses_unproven",
            "program_id",
            "account_id",
            "namespace",
            "address",
            unique=True,
            postgresql_where=text("verified_at is null and removed_at is null"),
        ),
        Index(
            "ix_addresses_proven",
            "program_id",
            "namespace",
            "address",
            postgresql_where=text("verified_at is not null"),
        ),
        Index("ix_addresses_account", "program_id", "account_id", "id"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    network: Mapped[str]
    """As it was asked for, by name or CAIP-2 id; what a proof covers is `namespace` and `chain_id`."""
    namespace: Mapped[str]
    chain_id: Mapped[int | None]
    """Set where the proof covers one chain only (SAFETY S7)."""
    address: Mapped[str]
    """EVM in lower case, Solana as it is."""
    verified_at: Mapped[Utc | None]
    proof_method: Mapped[str | None]
    proof: Mapped[str | None]
    """What proved it, as JSON: message and signature, transaction, or operator."""
    usable_from: Mapped[Utc | None]
    """When tokens may go there (SAFETY S5)."""
    removed_at: Mapped[Utc | None]
    ended: Mapped[str | None]
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
