"""The books: assets, balances of accounts and programs, postings, and what is to be delivered.

`deliveries` lives here because booking writes it, payouts move it on and intake reads it (DESIGN section 3).
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Points, Scope, Utc, scope
from guerdon.ledger.rates import Rate


class Delivered(StrEnum):
    """How an asset reaches people."""

    AUTOMATIC = "automatic"
    """Tokens are sent as soon as they are earned."""
    ON_CLAIM = "on_claim"
    """Points pile up until they are claimed at a rate."""


class Bucket(StrEnum):
    """The two ends of a posting."""

    OUTSIDE = "outside"
    FUNDS = "funds"
    AVAILABLE = "available"
    HELD = "held"
    DEBT = "debt"
    DELIVERED = "delivered"
    BURNED = "burned"
    EXPIRED = "expired"
    ADJUSTED = "adjusted"


class PostingKind(StrEnum):
    """What a posting is for; with `ref` it is the posting's permanent idempotency key."""

    FUND = "fund"
    DEFUND = "defund"
    REWARD = "reward"
    REWARD_HELD = "reward_held"
    REVERSE_HELD = "reverse_held"
    HOLD = "hold"
    RELEASE = "release"
    DELIVER = "deliver"
    REVERSE = "reverse"
    OWE = "owe"
    REPAY = "repay"
    SETTLE_DEBT = "settle_debt"
    EXPIRE = "expire"


class DeliveryState(StrEnum):
    """States of a payout (DESIGN section 6)."""

    REQUESTED = "requested"
    APPROVED = "approved"
    IN_REVIEW = "in_review"
    REFUSED = "refused"
    RESERVED = "reserved"
    SIGNED = "signed"
    SENT = "sent"
    CONFIRMED = "confirmed"
    FINAL = "final"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    FAILED_ONCHAIN = "failed_onchain"
    QUARANTINED = "quarantined"
    RETURNED = "returned"


WAITING = (DeliveryState.REQUESTED, DeliveryState.APPROVED, DeliveryState.IN_REVIEW)
"""States in which nothing is reserved or signed: a reversal may still take the points back."""
UNDELIVERED = tuple(
    state for state in DeliveryState if state not in {DeliveryState.FINAL, DeliveryState.REFUSED, DeliveryState.RETURNED}
)
"""States in which the points are held and the tokens may still arrive."""


class Asset(Base):
    """What is earned. One point of an automatic asset is `atomic_per_point` atomic units of its token."""

    __tablename__ = "assets"
    __table_args__ = (
        CheckConstraint("decimals between 0 and 36", name="decimals"),
        CheckConstraint("atomic_per_point > 0", name="atomic_per_point"),
        CheckConstraint("delivery in ('automatic', 'on_claim')", name="delivery"),
        scope(Scope.PLATFORM),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(unique=True)
    decimals: Mapped[int]
    delivery: Mapped[str]
    network: Mapped[str | None]
    token_address: Mapped[str | None]
    atomic_per_point: Mapped[Atomic] = mapped_column(server_default="1")
    mintable: Mapped[bool]
    """Whether we hold the right to mint it, through `RewardMinter`; else it is paid from stock."""
    created_at: Mapped[Utc]

    @property
    def rate(self) -> Rate:
        """What points of an automatic asset are worth in its token."""
        return Rate(self.atomic_per_point)


class PayoutOption(Base):
    """One token that an `on_claim` asset is paid in, on one network. `points_denominator` points are `atomic_numerator` of its
    smallest unit, rounded down (`rates.py`); an automatic asset has its own token and none of these.
    """

    __tablename__ = "payout_options"
    __table_args__ = (
        ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        CheckConstraint("namespace in ('eip155', 'solana')", name="namespace"),
        CheckConstraint("token_decimals between 0 and 36", name="token_decimals"),
        CheckConstraint("atomic_numerator > 0 and points_denominator > 0", name="rate"),
        CheckConstraint("min_points > 0 and (max_points is null or max_points >= min_points)", name="bounds"),
        CheckConstraint("(period_points is null) = (period_seconds is null)", name="period"),
        CheckConstraint("cooldown_seconds >= 0", name="cooldown"),
        CheckConstraint("enabled or not is_default", name="default_is_enabled"),
        Index("uq_payout_options_default", "asset_id", "namespace", unique=True, postgresql_where=text("is_default")),
        scope(Scope.PLATFORM),
    )

    asset_id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    """Of the network: destinations of one namespace are told from those of another by how they are written."""
    token_address: Mapped[str]
    token_decimals: Mapped[int]
    atomic_numerator: Mapped[Atomic]
    points_denominator: Mapped[Points]
    mintable: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether funding a program may mint; else its treasury is stocked."""
    min_points: Mapped[Points] = mapped_column(server_default="1")
    """What a claim is at least; on Solana it has to cover the rent of a token account (SAFETY S25)."""
    max_points: Mapped[Points | None]
    period_points: Mapped[Points | None]
    """What one account may claim in `period_seconds` at most."""
    period_seconds: Mapped[int | None]
    cooldown_seconds: Mapped[int] = mapped_column(server_default="0")
    """What has to pass between two claims of one account."""
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    """Taken where a claim names neither network nor token, for destinations of its namespace."""
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]

    @property
    def rate(self) -> Rate:
        """What points are worth in this token."""
        return Rate(self.atomic_numerator, self.points_denominator)


class CampaignRate(Base):
    """What a published campaign has its program's points claimed at, on one network, from `starts_at` to `ends_at`.

    Written by campaigns (`earning/conversion.py`), of which nothing is known here; read by claims and by what backs points. Its
    program may delete it besides, which is how a campaign is paused and ended.
    """

    __tablename__ = "campaign_rates"
    __table_args__ = (
        CheckConstraint("atomic_numerator > 0 and points_denominator > 0", name="rate"),
        Index("ix_campaign_rates_asset_id_ends_at", "asset_id", "ends_at"),
        scope(Scope.OWNED),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID]
    atomic_numerator: Mapped[Atomic]
    points_denominator: Mapped[Points]
    starts_at: Mapped[Utc]
    ends_at: Mapped[Utc]

    @property
    def rate(self) -> Rate:
        """What points are worth in the option's token."""
        return Rate(self.atomic_numerator, self.points_denominator)


class AccountBalance(Base):
    """One account's points of one asset. `earned` never falls; `available` is computed by the database (SAFETY S13)."""

    __tablename__ = "account_balances"
    __table_args__ = (
        ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        *(
            CheckConstraint(f"{column} >= 0", name=column)
            for column in ("earned", "reversed", "claimed", "spent", "expired", "held", "debt", "available")
        ),
        CheckConstraint("debt = 0 or available = 0", name="debt_is_repaid_first"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    earned: Mapped[Points] = mapped_column(server_default="0")
    reversed: Mapped[Points] = mapped_column(server_default="0")
    claimed: Mapped[Points] = mapped_column(server_default="0")
    spent: Mapped[Points] = mapped_column(server_default="0")
    expired: Mapped[Points] = mapped_column(server_default="0")
    moved: Mapped[Points] = mapped_column(server_default="0")
    held: Mapped[Points] = mapped_column(server_default="0")
    debt: Mapped[Points] = mapped_column(server_default="0")
    available: Mapped[Points] = mapped_column(
        Computed("earned - reversed - claimed - spent - expired - held + moved", persisted=True)
    )
    version: Mapped[int] = mapped_column(server_default="0")
    """Rises by one with each posting; booking checks it, and `ledger verify` walks the postings by it."""


class ProgramBalance(Base):
    """One program's side of the books for one asset: what it can still give (`funds`) and what it owes to its accounts."""

    __tablename__ = "program_balances"
    __table_args__ = (
        ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        *(
            CheckConstraint(f"{column} >= 0", name=column)
            for column in ("funds", "owed", "debt", "delivered", "burned", "expired")
        ),
        CheckConstraint("funded = funds + owed + debt + delivered + burned + expired + adjusted", name="balanced"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID] = mapped_column(primary_key=True)
    funded: Mapped[Points] = mapped_column(server_default="0")
    funds: Mapped[Points] = mapped_column(server_default="0")
    owed: Mapped[Points] = mapped_column(server_default="0")
    debt: Mapped[Points] = mapped_column(server_default="0")
    delivered: Mapped[Points] = mapped_column(server_default="0")
    burned: Mapped[Points] = mapped_column(server_default="0")
    expired: Mapped[Points] = mapped_column(server_default="0")
    adjusted: Mapped[Points] = mapped_column(server_default="0")


class Posting(Base):
    """One balanced movement of points from one bucket to another; append-only, touching at most one account."""

    __tablename__ = "postings"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("from_bucket <> to_bucket", name="moves"),
        CheckConstraint(
            "(account_id is null) = (version is null) and (account_id is null) = (available_after is null)", name="account"
        ),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[UUID] = mapped_column(primary_key=True)
    from_bucket: Mapped[str]
    to_bucket: Mapped[str]
    amount: Mapped[Points]
    account_id: Mapped[UUID | None]
    version: Mapped[int | None]
    available_after: Mapped[int | None]
    posted_at: Mapped[Utc]


class Delivery(Base):
    """The row of one payout: points of one account that are to become tokens in one wallet."""

    __tablename__ = "deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        CheckConstraint("points > 0 or state in ('refused', 'returned')", name="points"),
        CheckConstraint("kind in ('automatic', 'claim')", name="kind"),
        CheckConstraint(
            "state in ('requested', 'approved', 'in_review', 'refused', 'returned') "
            "or (amount_atomic is not null and destination is not null and batch_id is not null)",
            name="bound",
        ),
        # What an account earns while its tokens wait is one row that grows: one transfer a window (DESIGN section 6, rule 7).
        Index(
            "uq_deliveries_waiting",
            "program_id",
            "asset_id",
            "account_id",
            unique=True,
            postgresql_where=text("state = 'approved' and kind = 'automatic'"),
        ),
        Index("ix_deliveries_state", "state", "program_id", "asset_id", "id", postgresql_where=text("state <> 'final'")),
        Index(
            "ix_deliveries_unfinished_account",
            "program_id",
            "account_id",
            postgresql_where=text("state not in ('final', 'refused', 'returned')"),
        ),
        Index("ix_deliveries_account", "program_id", "account_id", "id"),
        Index(
            "ix_deliveries_claims",
            "program_id",
            "asset_id",
            "network",
            "id",
            postgresql_where=text("kind = 'claim' and state = 'approved'"),
        ),
        # What claims have fixed of each treasury, over all programs (SAFETY S3).
        Index(
            "ix_deliveries_claimed",
            "asset_id",
            "network",
            postgresql_include=["points", "amount_atomic"],
            postgresql_where=text("kind = 'claim' and state not in ('final', 'refused', 'returned')"),
        ),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    asset_id: Mapped[UUID]
    account_id: Mapped[UUID]
    kind: Mapped[str]
    state: Mapped[str]
    points: Mapped[Points]
    amount_atomic: Mapped[Atomic | None]
    destination: Mapped[str | None]
    network: Mapped[str | None]
    batch_id: Mapped[UUID | None]
    transaction_hash: Mapped[str | None]
    block_number: Mapped[int | None]
    reason: Mapped[str | None]
    requested_at: Mapped[Utc]
    updated_at: Mapped[Utc]
