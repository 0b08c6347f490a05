"""Drops: rewards for a whole season, claimed on chain by proof (SAFETY S31). A season is one of `MerkleDrop`'s, a drop one of
its roots.

Whose points are in a drop is in its leaves; what the chain has of it is read in `drops_claims.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Points, Scope, Utc, scope

WORK: Final = "drops.advance"
"""Of the platform: moves every drop and season that is not over."""


class SeasonState(StrEnum):
    """Where a season stands."""

    PREPARING = "preparing"
    """Nothing of it is on any chain yet."""
    OPEN = "open"
    """A root of it is final: it is claimed from."""
    CLOSING = "closing"
    """Its window is over; what nobody took is on its way back to the treasury."""
    RETURNING = "returning"
    """Closed, and that is final: what was not claimed goes back to its accounts."""
    CLOSED = "closed"
    CANCELLED = "cancelled"
    """Given up before anything of it was published."""


class DropState(StrEnum):
    """Where one root of a season stands."""

    COLLECTING = "collecting"
    """Points are held, account by account."""
    COLLECTED = "collected"
    """All are held; the tree is to be built."""
    COMMITTED = "committed"
    """Its root is fixed; waits for the treasury's funds."""
    PUBLISHING = "publishing"
    """Funds are reserved, and the transaction that publishes it is on its way."""
    PUBLISHED = "published"
    """Final on chain."""
    CANCELLING = "cancelling"
    """Given up; its points go back."""
    CANCELLED = "cancelled"


class LeafFate(StrEnum):
    """What became of the points of a leaf."""

    CARRIED = "carried"
    """No new points: it repeats what an earlier root promised the address."""
    WAITING = "waiting"
    """Held until claimed on chain, or returned."""
    CLAIMED = "claimed"
    RETURNED = "returned"


class DropSeason(Base):
    """A season: one token, one window, one root after the other. `total_atomic` and `claimed_atomic` are final on chain."""

    __tablename__ = "drop_seasons"
    __table_args__ = (
        CheckConstraint("state in ('preparing', 'open', 'closing', 'returning', 'closed', 'cancelled')", name="state"),
        CheckConstraint("claimed_atomic >= 0", name="claimed"),
        CheckConstraint("state in ('preparing', 'cancelled') or published_block is not null", name="published"),
        CheckConstraint("atomic_numerator > 0 and points_denominator > 0", name="rate"),
        Index("ix_drop_seasons_unfinished", "id", postgresql_where=text("state not in ('closed', 'cancelled')")),
        Index("ix_drop_seasons_treasury", "treasury_id", postgresql_where=text("state in ('open', 'closing')")),
        scope(Scope.OWNED),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Also its name on chain."""
    asset_id: Mapped[UUID]
    treasury_id: Mapped[UUID]
    network: Mapped[str]
    chain_id: Mapped[int]
    contract: Mapped[str]
    token_address: Mapped[str]
    chain_season: Mapped[str]
    """The id that the contract has it under."""
    atomic_numerator: Mapped[Atomic]
    """`points_denominator` points are as many atomic units, rounded down: frozen when the season was made."""
    points_denominator: Mapped[Points]
    state: Mapped[str]
    opens_at: Mapped[Utc]
    closes_at: Mapped[Utc]
    total_atomic: Mapped[Atomic] = mapped_column(server_default="0")
    claimed_atomic: Mapped[Atomic] = mapped_column(server_default="0")
    published_block: Mapped[int | None]
    """Of its first root."""
    scanned_block: Mapped[int | None]
    """Claims are read up to here."""
    closed_block: Mapped[int | None]
    close_intent_id: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    """Transactions that were to close it and did not."""
    retry_at: Mapped[Utc | None]
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class Drop(Base):
    """One root of a season: who may have received what in all once it is published."""

    __tablename__ = "drops"
    __table_args__ = (
        CheckConstraint(
            "state in ('collecting', 'collected', 'committed', 'publishing', 'published', 'cancelling', 'cancelled')",
            name="state",
        ),
        CheckConstraint("(state in ('committed', 'publishing', 'published')) <= (root is not null)", name="committed"),
        CheckConstraint("state <> 'publishing' or (intent_id is not null and reserved_at is not null)", name="publishing"),
        # A season has one root of a number, and prepares one at a time.
        Index(
            "uq_drops_number", "program_id", "season_id", "number", unique=True,
            postgresql_where=text("state not in ('cancelling', 'cancelled')"),
        ),
        Index(
            "uq_drops_preparing", "program_id", "season_id", unique=True,
            postgresql_where=text("state in ('collecting', 'collected', 'committed', 'publishing')"),
        ),
        Index("ix_drops_unfinished", "id", postgresql_where=text("state not in ('published', 'cancelled')")),
        scope(Scope.OWNED),
    )  # fmt: skip

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    season_id: Mapped[UUID]
    number: Mapped[int]
    state: Mapped[str]
    opens_at: Mapped[Utc]
    closes_at: Mapped[Utc]
    minimum_points: Mapped[Points]
    """Accounts with less available are left out."""
    chosen: Mapped[list[Any] | None] = mapped_column(JSONB)
    """`[account, points or null]` in the order of the accounts; null: every account with enough."""
    collected_to: Mapped[UUID | None]
    """The last account that was looked at."""
    carried_to: Mapped[str | None]
    """The last address that was carried over from the root before; `~` once all are."""
    leaves: Mapped[int] = mapped_column(server_default="0")
    points: Mapped[Points] = mapped_column(server_default="0")
    total_atomic: Mapped[Atomic] = mapped_column(server_default="0")
    added_atomic: Mapped[Atomic] = mapped_column(server_default="0")
    """What publishing it takes from the treasury."""
    root: Mapped[str | None]
    intent_id: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    """Transactions that were to publish it and did not."""
    retry_at: Mapped[Utc | None]
    reserved_at: Mapped[Utc | None]
    reason: Mapped[str | None]
    """Why it waits, or why it was given up."""
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]
    published_at: Mapped[Utc | None]


class DropLeaf(Base):
    """What one address may have received of the season in all, by one root, and the points that are new in it."""

    __tablename__ = "drop_leaves"
    __table_args__ = (
        CheckConstraint("fate in ('carried', 'waiting', 'claimed', 'returned')", name="fate"),
        CheckConstraint("(fate = 'carried') = (points = 0) and (points = 0) = (amount_atomic = 0)", name="points"),
        CheckConstraint("points >= 0 and amount_atomic >= 0 and cumulative_atomic >= amount_atomic", name="amounts"),
        CheckConstraint("address ~ '^0x[0-9a-f]{40}$'", name="form"),
        Index("uq_drop_leaves_account", "program_id", "drop_id", "account_id", unique=True, postgresql_where=text("points > 0")),
        Index("ix_drop_leaves_address", "program_id", "season_id", "address"),
        Index("ix_drop_leaves_account", "program_id", "account_id", "season_id"),
        Index(
            "ix_drop_leaves_waiting", "program_id", "season_id", "drop_id", "address",
            postgresql_where=text("fate = 'waiting'"),
        ),
        # What leaves have fixed of each treasury, over all programs (SAFETY S3).
        Index(
            "ix_drop_leaves_promised", "asset_id", "program_id", "season_id", postgresql_include=["points", "amount_atomic"],
            postgresql_where=text("fate = 'waiting'"),
        ),
        scope(Scope.TENANT),
    )  # fmt: skip

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    drop_id: Mapped[UUID] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    """In lower case."""
    season_id: Mapped[UUID]
    asset_id: Mapped[UUID]
    account_id: Mapped[UUID]
    points: Mapped[Points]
    amount_atomic: Mapped[Atomic]
    cumulative_atomic: Mapped[Atomic]
    fate: Mapped[str]
    """Of `LeafFate`."""
    place: Mapped[int | None]
    """Of its hash among the tree's nodes."""
    transaction_hash: Mapped[str | None]
    """That claimed it."""
    updated_at: Mapped[Utc]


class DropTree(Base):
    """All hashes of a drop's tree, 32 bytes each, root first; proofs are cut out of it (`chains/merkle.py`)."""

    __tablename__ = "drop_trees"
    __table_args__ = (scope(Scope.TENANT),)

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    drop_id: Mapped[UUID] = mapped_column(primary_key=True)
    nodes: Mapped[bytes]
