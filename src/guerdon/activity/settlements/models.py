"""Where payments are reported from, which assets count, what was reported, and what the chain has proven of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Scope, Utc, scope


class SourceKind(StrEnum):
    """How a source tells of payments. Whatever it says is a hint: the chain is asked."""

    OPENFACILITATOR = "openfacilitator"
    """Its signed webhook, or its database beside it."""
    STANDARD_WEBHOOKS = "standard_webhooks"
    """A sender that keeps to Standard Webhooks."""
    X402 = "x402"
    """A Python facilitator wrapped by `guerdon.x402`."""
    X402LAYER = "x402layer"
    """Its signed webhook."""
    SQLITE = "sqlite"
    """A SQLite file with a table `transactions`, read only."""
    POSTGRES = "postgres"
    """A PostgreSQL database with a table `transactions`, read only."""
    CHAIN = "chain"
    """Nobody reports: what the registered signers send is read from the chain."""


class HintState(StrEnum):
    """What became of a report."""

    WAITING = "waiting"
    """The chain was not asked yet."""
    WATCHING = "watching"
    """It was, and the transaction is in no block so far."""
    PROVEN = "proven"
    """Its payments are in `settlements`."""
    NOTHING = "nothing"
    """It landed and is no payment, or it did not land in the time that it is waited for."""
    REJECTED = "rejected"
    """Somebody else sent it than a signer of this source (SAFETY S33)."""


class SettlementState(StrEnum):
    """Where a proven payment stands."""

    INCLUDED = "included"
    """In a block that may still be replaced: what it earned is held (SAFETY S34)."""
    FINAL = "final"
    REORGANISED = "reorganised"
    """Its block was replaced and it is in no other: what it earned is taken back."""


class Source(Base):
    """Where a program's payments are reported from."""

    __tablename__ = "sources"
    __table_args__ = (
        CheckConstraint(
            "kind in ('openfacilitator', 'standard_webhooks', 'x402', 'x402layer', 'sqlite', 'postgres', 'chain')", name="kind"
        ),
        UniqueConstraint("program_id", "name"),
        # A webhook names the source, and its program is looked up by it.
        Index("ix_sources_id", "id"),
        scope(Scope.JOINT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    facilitator_id: Mapped[str | None]
    """What the facilitator calls itself in what it reports."""
    signers: Mapped[dict[str, list[str]]] = mapped_column(JSONB)
    """By network, the addresses that send (EVM) or pay for (Solana) its transactions: nobody else's count (SAFETY S33)."""
    network_names: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'"))
    """What the facilitator calls networks that have another name here, with the name that they have."""
    reads_chain: Mapped[bool] = mapped_column(server_default=text("false"))
    """Is what its signers send read from the chain as well, so that lost reports are found?"""
    location_encrypted: Mapped[bytes | None]
    """Of a database that is read: its path or address."""
    cursor: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """How far each of its readers has come."""
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    last_report_at: Mapped[Utc | None]
    read_at: Mapped[Utc | None]
    read_error: Mapped[str | None]
    """Why reading it did not work the last time."""
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class SourceSecret(Base):
    """What a source signs its reports with, encrypted; two are valid while one is rotated out."""

    __tablename__ = "source_secrets"
    __table_args__ = (Index("ix_source_secrets_source", "program_id", "source_id"), scope(Scope.TENANT))

    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID]
    secret_encrypted: Mapped[bytes]
    hint: Mapped[str]
    created_at: Mapped[Utc]
    expires_at: Mapped[Utc | None]


class SettlementAsset(Base):
    """A token whose payments count, with what a whole one is worth. The platform's: a worthless one would be free points."""

    __tablename__ = "settlement_assets"
    __table_args__ = (
        CheckConstraint("decimals between 0 and 36", name="decimals"),
        CheckConstraint("micro_usd_per_token > 0", name="peg"),
        scope(Scope.PLATFORM),
    )

    network: Mapped[str] = mapped_column(ForeignKey("networks.name"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    """In lower case on EVM networks, as it is on Solana."""
    symbol: Mapped[str]
    decimals: Mapped[int]
    micro_usd_per_token: Mapped[int]
    """1,000,000 is one dollar for a whole token."""
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class SettlementHint(Base):
    """A transaction that a source told of; a repeat meets the same row."""

    __tablename__ = "settlement_hints"
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'watching', 'proven', 'nothing', 'rejected')", name="state"),
        Index("ix_settlement_hints_due", "program_id", "due_at", postgresql_where=text("state in ('waiting', 'watching')")),
        Index(
            "ix_settlement_hints_over",
            "program_id",
            "updated_at",
            postgresql_where=text("state in ('proven', 'nothing', 'rejected')"),
        ),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    transaction_hash: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    """How often the chain was asked and did not have it."""
    due_at: Mapped[Utc]
    reason: Mapped[str | None]
    reported: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """What the report said, in short; for people, not for decisions."""
    received_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class Settlement(Base):
    """One payment as the chain has it. By transaction and place it is there once, but for what was taken back (SAFETY S33)."""

    __tablename__ = "settlements"
    __table_args__ = (
        CheckConstraint("state in ('included', 'final', 'reorganised')", name="state"),
        CheckConstraint("amount_atomic > 0", name="amount"),
        CheckConstraint("volume_micro_usd >= 0", name="volume"),
        # A transaction's hash is of one chain, by whatever name that is set up here.
        Index(
            "uq_settlements_payment",
            "program_id",
            "transaction_hash",
            "place",
            unique=True,
            postgresql_where=text("state <> 'reorganised'"),
        ),
        Index("ix_settlements_reorganised", "program_id", "transaction_hash", postgresql_where=text("state = 'reorganised'")),
        Index("ix_settlements_payer", "program_id", "payer", "settled_at"),
        Index("ix_settlements_payee", "program_id", "payee", "settled_at"),
        Index(
            "ix_settlements_account",
            "program_id",
            "account_id",
            "settled_at",
            postgresql_where=text("account_id is not null"),
        ),
        Index("ix_settlements_settled", "program_id", "settled_at", "id", postgresql_where=text("account_id is not null")),
        Index("ix_settlements_included", "program_id", "network", "block_number", postgresql_where=text("state = 'included'")),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str]
    transaction_hash: Mapped[str]
    place: Mapped[int]
    """Among the transaction's own logs, or its instructions: it survives a reorganisation (SAFETY S34)."""
    source_id: Mapped[UUID]
    """Whose signer sent it; of several, the one that was proven first."""
    asset_address: Mapped[str]
    payer: Mapped[str]
    payee: Mapped[str]
    amount_atomic: Mapped[Atomic]
    volume_micro_usd: Mapped[int]
    block_number: Mapped[int]
    """On Solana the slot."""
    block_hash: Mapped[str]
    settled_at: Mapped[Utc]
    """When its block was made, by the chain."""
    state: Mapped[str]
    account_id: Mapped[UUID | None]
    """Who was credited."""
    credited_at: Mapped[Utc | None]
    why_not: Mapped[str | None]
    """Why nobody was."""
    found_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class SettlementMark(Base):
    """How far a program's crediting of payments before their proof has come, and when its payments are suspicious."""

    __tablename__ = "settlement_marks"
    __table_args__ = (scope(Scope.TENANT),)

    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"), primary_key=True)
    proofs_until: Mapped[Utc]
    """Addresses that were proven before are looked at."""
    thresholds: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=text("'{}'"))
    """Those of `abuse.Thresholds` that are not the defaults."""


class SettlementFlag(Base):
    """Why a credited payment is looked at by an operator before its points can be used, with the evidence."""

    __tablename__ = "settlement_flags"
    __table_args__ = (
        CheckConstraint("verdict in ('approved', 'rejected')", name="verdict"),
        Index("ix_settlement_flags_open", "program_id", "id", postgresql_where=text("verdict is null")),
        Index("uq_settlement_flags_pattern", "program_id", "settlement_id", "pattern", unique=True),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    settlement_id: Mapped[UUID]
    pattern: Mapped[str]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    verdict: Mapped[str | None]
    decided_by: Mapped[str | None]
    note: Mapped[str | None]
    decided_at: Mapped[Utc | None]
    flagged_at: Mapped[Utc]
