"""Programs and what belongs to them: domains, security keys, admin keys, funding."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.models import Atomic, Base, Points, Scope, Utc, scope


class ReversalPolicy(StrEnum):
    """What a reversal may take (DESIGN section 5, SAFETY S13)."""

    PENDING_ONLY = "pending_only"
    """Only points that are not on their way to the chain yet."""
    WITHIN_BALANCE = "within_balance"
    """What is undelivered or available; the rest is written off."""
    DEBT = "debt"
    """All of it: what is not there is owed, and later earnings repay it first."""


class AdminRole(StrEnum):
    """What an admin key may do: the whole platform, or one program."""

    PLATFORM = "platform"
    PROGRAM = "program"


class FundingKind(StrEnum):
    """Where a program's funds came from (SAFETY S3)."""

    MINT = "mint"
    DEPOSIT = "deposit"


class FundingState(StrEnum):
    """A funding is booked when its transaction is final."""

    PENDING = "pending"
    BOOKED = "booked"
    FAILED = "failed"


class Program(Base):
    """A tenant. `brand_id`, its public id, is an EVM address in lower case."""

    __tablename__ = "programs"
    __table_args__ = (
        CheckConstraint("brand_id ~ '^0x[0-9a-f]{40}$'", name="brand_id"),
        CheckConstraint("reversal_policy in ('pending_only', 'within_balance', 'debt')", name="reversal_policy"),
        CheckConstraint("address_wait_hours between 0 and 720", name="address_wait_hours"),
        scope(Scope.REFERENCE),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    brand_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    asset_id: Mapped[UUID] = mapped_column(ForeignKey("assets.id"))
    """The asset that the rules of this program pay in unless a rule names another."""
    automation_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    unsigned_reports: Mapped[bool] = mapped_column(server_default=text("false"))
    unsigned_lookups: Mapped[bool] = mapped_column(server_default=text("false"))
    reversal_policy: Mapped[str] = mapped_column(server_default="within_balance")
    synthetic_domain: Mapped[str | None]
    browser_cap_program: Mapped[Points | None]
    """Points a day that all browsers together may earn here; null: no cap. So with the two below."""
    browser_cap_account: Mapped[Points | None]
    browser_cap_ip: Mapped[Points | None]
    gas_budget_wei: Mapped[Atomic | None]
    """What payouts of this program may cost a day on each network, in 10^-18 of its own coin; null: no cap (SAFETY S25)."""
    claim_review_points: Mapped[Points | None]
    """An account that claims more in 24 hours waits for an operator; null: nobody is asked."""
    address_wait_hours: Mapped[int] = mapped_column(server_default="24")
    """How long an account's later addresses wait before tokens may go there (SAFETY S5)."""
    config_version: Mapped[int] = mapped_column(server_default="1")
    """Rises with every change of the program, its domains, keys or rules: whoever caches them compares it."""
    created_at: Mapped[Utc]


class ProgramDomain(Base):
    """A host from which a program's browsers report, exact or `*.host`."""

    __tablename__ = "program_domains"
    __table_args__ = (Index("ix_program_domains_domain", "domain"), scope(Scope.REFERENCE))

    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"), primary_key=True)
    domain: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[Utc]


class ProgramKey(Base):
    """A security key for HMAC signatures, encrypted; two are valid while one is rotated out."""

    __tablename__ = "program_keys"
    __table_args__ = (scope(Scope.TENANT),)

    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    secret_encrypted: Mapped[bytes]
    hint: Mapped[str]
    created_at: Mapped[Utc]
    expires_at: Mapped[Utc | None]


class AdminKey(Base):
    """A bearer key for `/api/admin`, hashed; of the platform (`program_id` null) or of one program."""

    __tablename__ = "admin_keys"
    __table_args__ = (
        CheckConstraint("role in ('platform', 'program')", name="role"),
        CheckConstraint("(role = 'platform') = (program_id is null)", name="scope"),
        scope(Scope.OWNED),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    secret_hash: Mapped[bytes]
    role: Mapped[str]
    program_id: Mapped[UUID | None] = mapped_column(ForeignKey("programs.id"))
    name: Mapped[str]
    created_at: Mapped[Utc]
    revoked_at: Mapped[Utc | None]


class Funding(Base):
    """Tokens that back a program's funds: minted by us, or deposited and proven by a final transaction."""

    __tablename__ = "fundings"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("kind in ('mint', 'deposit')", name="kind"),
        CheckConstraint("state in ('pending', 'booked', 'failed')", name="state"),
        Index(
            "uq_fundings_transfer",
            "network",
            "transaction_hash",
            "log_index",
            unique=True,
            postgresql_where=text("kind = 'deposit' and state <> 'failed'"),
        ),
        Index("ix_fundings_program", "program_id", "id"),
        Index("ix_fundings_pending", "created_at", postgresql_where=text("state = 'pending'")),
        scope(Scope.OWNED),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    program_id: Mapped[UUID] = mapped_column(ForeignKey("programs.id"))
    asset_id: Mapped[UUID] = mapped_column(ForeignKey("assets.id"))
    kind: Mapped[str]
    state: Mapped[str]
    points: Mapped[Points]
    amount_atomic: Mapped[Atomic]
    network: Mapped[str]
    intent_id: Mapped[UUID | None]
    transaction_hash: Mapped[str | None]
    log_index: Mapped[int | None]
    reason: Mapped[str | None]
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]
