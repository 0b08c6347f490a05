"""What a claim fixed when it was asked for. Its state, tokens and destination are those of its payout, `ledger.deliveries`."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Points, Scope, Utc, scope
from guerdon.ledger.rates import Rate


class Claim(Base):
    """A request to turn points into tokens; `id` is its payout's. Nothing of it changes but its review."""

    __tablename__ = "claims"
    __table_args__ = (
        ForeignKeyConstraint(["program_id", "id"], ["deliveries.program_id", "deliveries.id"]),
        CheckConstraint("points_requested > 0 and atomic_numerator > 0 and points_denominator > 0", name="amounts"),
        CheckConstraint("(reviewed_at is null) = (reviewed_by is null)", name="review"),
        Index("ix_claims_account", "program_id", "account_id", "id"),
        scope(Scope.TENANT),
    )

    program_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    asset_id: Mapped[UUID]
    network: Mapped[str]
    token_address: Mapped[str]
    atomic_numerator: Mapped[Atomic]
    points_denominator: Mapped[Points]
    """The rate, as it was (SAFETY S14)."""
    campaign_id: Mapped[UUID | None]
    """Whose rate it was; null: the payout option's."""
    points_requested: Mapped[Points]
    """Of these, the payout holds what converts."""
    address_id: Mapped[UUID | None]
    """The proven address; null: the account's built-in wallet."""
    review_reason: Mapped[str | None]
    """Why an operator was asked."""
    reviewed_by: Mapped[str | None]
    reviewed_at: Mapped[Utc | None]
    review_note: Mapped[str | None]
    """The operator's own reason."""
    created_at: Mapped[Utc]

    @property
    def rate(self) -> Rate:
        """What it was asked at."""
        return Rate(self.atomic_numerator, self.points_denominator)
