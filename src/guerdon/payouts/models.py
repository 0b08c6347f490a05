"""Batches of payouts: which payouts one chain transaction pays. The payouts themselves are `ledger.deliveries`."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from guerdon.kit.models import Atomic, Base, Scope, Utc, scope


class Work(StrEnum):
    """The kinds of work that move payouts on (`jobs.py` has their handlers)."""

    RESERVE = "payouts.reserve"
    """Of a program: woken by whatever approves a payout."""
    FREEZE = "payouts.freeze"
    """Of the platform: due when a batch is full or old enough."""
    ADVANCE = "payouts.advance"
    """Of the platform: woken by every change of an intent that carries a batch."""
    SWEEP = "payouts.sweep"
    """Of the platform: comes by itself, for whatever was forgotten (SAFETY S23)."""


class BatchState(StrEnum):
    """A batch takes payouts while open; frozen, its list never changes again (SAFETY S16)."""

    OPEN = "open"
    CLOSED = "closed"
    """Takes no more payouts; is simulated, and whom it can't pay is taken out of it. Nothing of it is on any chain."""
    FROZEN = "frozen"
    PAID = "paid"
    """Final on chain."""
    DISSOLVED = "dissolved"
    """Proven never to pay; its payouts are in other batches or given back."""


class Batch(Base):
    """Payouts of one treasury that one transaction pays; `chain_batch_id` is what the distributor records (SAFETY S17)."""

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint("state in ('open', 'closed', 'frozen', 'paid', 'dissolved')", name="state"),
        CheckConstraint("state in ('open', 'closed') or size = 0 or chain_batch_id is not null", name="frozen"),
        Index("uq_batches_open", "treasury_id", unique=True, postgresql_where=text("state = 'open'")),
        Index("ix_batches_unfinished", "treasury_id", "id", postgresql_where=text("state in ('open', 'closed', 'frozen')")),
        Index("ix_batches_intent", "intent_id"),
        Index("ix_batches_chain", "treasury_id", "chain_batch_id", postgresql_where=text("chain_batch_id is not null")),
        scope(Scope.PLATFORM),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    treasury_id: Mapped[UUID] = mapped_column(ForeignKey("treasuries.id"))
    state: Mapped[str]
    size: Mapped[int] = mapped_column(server_default="0")
    total_atomic: Mapped[Atomic] = mapped_column(server_default="0")
    chain_batch_id: Mapped[str | None]
    supersedes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    """Chain batch ids of every ancestor that was not final when this one was made."""
    intent_id: Mapped[UUID | None] = mapped_column(ForeignKey("intents.id"))
    delivery_state: Mapped[str | None]
    """The state its payouts were last moved to."""
    opened_at: Mapped[Utc]
    frozen_at: Mapped[Utc | None]


class BatchMember(Base):
    """One payout in a batch, with what the platform needs to pay it."""

    __tablename__ = "batch_members"
    __table_args__ = (
        CheckConstraint("amount_atomic > 0", name="amount"),
        Index("ix_batch_members_delivery", "program_id", "delivery_id"),
        scope(Scope.OWNED),
    )

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(primary_key=True)
    destination: Mapped[str]
    amount_atomic: Mapped[Atomic]
    gas_reserved_wei: Mapped[Atomic] = mapped_column(server_default="0")
    settled: Mapped[bool] = mapped_column(server_default=text("false"))
    """Its reservation is released: delivered, or given to another batch, or given back. Set with the ledger's posting."""


class OpenedTokenAccount(Base):
    """A wallet whose token account on a Solana one of our transactions made: its rent is paid once (SAFETY S25)."""

    __tablename__ = "opened_token_accounts"
    __table_args__ = (scope(Scope.PLATFORM),)

    network: Mapped[str] = mapped_column(ForeignKey("networks.name"), primary_key=True)
    token_address: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"))
    """The last one that was to make it."""


class GasSpent(Base):
    """Wei that payouts of a program reserved or cost on a day (SAFETY S25)."""

    __tablename__ = "gas_spent"
    __table_args__ = (CheckConstraint("wei >= 0", name="wei"), scope(Scope.OWNED))

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    wei: Mapped[Atomic]
