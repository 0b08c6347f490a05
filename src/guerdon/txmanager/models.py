"""What signing and sending need to survive a crash: networks, contracts, keys, treasuries, intents, nonces, attempts."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.chains.networks import EIP155
from guerdon.kit.models import Atomic, Base, Scope, Utc, scope


class KeyPurpose(StrEnum):
    """What txmanager signs with (SAFETY S29, S36: distinct keys)."""

    DEPLOYER = "deployer"
    TREASURY = "treasury"
    MINTER = "minter"
    RELAYER = "relayer"


class IntentState(StrEnum):
    """Where one chain transaction stands (DESIGN section 6)."""

    QUEUED = "queued"
    BOUND = "bound"
    """It has a nonce, for ever."""
    SIGNED = "signed"
    """Its bytes are stored: from here on it may land at any time."""
    SENT = "sent"
    EXPIRED = "expired"
    """On Solana: every form of it is proven dead, and it is signed anew (SAFETY S18)."""
    INCLUDED = "included"
    FINAL = "final"
    FAILED = "failed"
    """Reverted, and that is final."""
    VOID = "void"
    """Another transaction is final at its nonce: it can never land."""
    UNKNOWN = "unknown"
    """Its nonce is used by a transaction we don't know, or it has not landed for long. An operator is alerted."""


WITHOUT_MARKER = ("close",)
"""Kinds of Solana intents that make no marker: closing what is closed does nothing, however often it is tried."""
FINISHED = (IntentState.FINAL, IntentState.FAILED, IntentState.VOID)
"""States that never change again."""


class HeldBack(StrEnum):
    """Why a queued intent has no nonce yet, or on Solana no form that may land."""

    SIMULATION_FAILED = "simulation_failed"
    """It would revert now; its owner decides. It is tried again by itself, ever more slowly."""
    UNCLEAR = "unclear"
    """It would revert now, but transactions before it are in flight; or the node could not simulate it. Tried again soon."""
    FEE_CAP = "fee_cap"
    """The network asks for more than `networks.max_fee_per_gas`."""


class Network(Base):
    """A chain we talk to. Its address (RPC) is in the settings; `genesis_hash` tells it from any other (SAFETY S21)."""

    __tablename__ = "networks"
    __table_args__ = (
        CheckConstraint("namespace in ('eip155', 'solana')", name="namespace"),
        CheckConstraint("(namespace = 'eip155') = (chain_id is not null)", name="chain"),
        scope(Scope.PLATFORM),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str] = mapped_column(server_default=EIP155)
    """Of CAIP-2: which kind of chain it is, and so which engine works for its keys."""
    chain_id: Mapped[int | None]
    """Of an EVM network."""
    genesis_hash: Mapped[str | None]
    block_time_ms: Mapped[int]
    explorer_url: Mapped[str | None]
    max_fee_per_gas: Mapped[Atomic | None]
    """Wei; a transaction that would cost more waits."""
    max_unit_price: Mapped[int | None]
    """Of Solana: the most that is offered for a compute unit, in micro-lamports."""
    head_block: Mapped[int | None]
    """What was last seen of the chain, by whichever worker looked (`sightings.py`): for people, not for decisions."""
    head_at: Mapped[Utc | None]
    """When that block was made, by the chain."""
    final_block: Mapped[int | None]
    base_fee_wei: Mapped[Atomic | None]
    seen_at: Mapped[Utc | None]
    created_at: Mapped[Utc]

    @property
    def evm_chain_id(self) -> int:
        """The chain id, where nothing but an EVM network can be meant."""
        if self.chain_id is None:
            message = f"{self.name} is no EVM network"
            raise AssertionError(message)
        return self.chain_id


class Contract(Base):
    """A contract we deployed, or an operator named, on a network."""

    __tablename__ = "contracts"
    __table_args__ = (scope(Scope.PLATFORM),)

    network: Mapped[str] = mapped_column(ForeignKey("networks.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """`RewardDistributor`, `RewardMinter:LTZ`, `RewardToken:LTZ`."""
    address: Mapped[str]
    intent_id: Mapped[UUID | None]
    created_at: Mapped[Utc]


class Key(Base):
    """A signing key, encrypted, with the lease of the one worker that may use it (SAFETY S19)."""

    __tablename__ = "keys"
    __table_args__ = (
        UniqueConstraint("network", "address"),
        CheckConstraint("purpose in ('deployer', 'treasury', 'minter', 'relayer')", name="purpose"),
        scope(Scope.SECRET),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(ForeignKey("networks.name"))
    purpose: Mapped[str]
    address: Mapped[str]
    secret_encrypted: Mapped[bytes]
    next_nonce: Mapped[int] = mapped_column(server_default="0")
    """Of EVM networks."""
    reviewed_signature: Mapped[str | None]
    """Of Solana: the newest of its transactions up to which the chain holds nothing that is not accounted for (SAFETY S21)."""
    reviewed_at: Mapped[Utc | None]
    """When that was last found to be so."""
    paused_at: Mapped[Utc | None]
    pause_reason: Mapped[str | None]
    resumes_by_itself: Mapped[bool] = mapped_column(server_default=text("false"))
    native_balance_wei: Mapped[Atomic | None]
    """What it could pay fees with when last seen; for people, not for decisions."""
    native_balance_at: Mapped[Utc | None]
    lease_owner: Mapped[str | None]
    lease_epoch: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[Utc | None]
    created_at: Mapped[Utc]


class Treasury(Base):
    """A hot wallet for one network and one asset: what it holds at finality, what is promised of it, its limits."""

    __tablename__ = "treasuries"
    __table_args__ = (
        UniqueConstraint("network", "asset_id"),
        # Tokens that two assets count on would back both of them (SAFETY S3).
        UniqueConstraint("network", "token_address", "address"),
        CheckConstraint("reserved >= 0", name="reserved"),
        CheckConstraint("(period_limit is null) = (period_seconds is null)", name="period"),
        scope(Scope.PLATFORM),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    network: Mapped[str] = mapped_column(ForeignKey("networks.name"))
    asset_id: Mapped[UUID] = mapped_column(ForeignKey("assets.id"))
    key_id: Mapped[UUID] = mapped_column(ForeignKey("keys.id"))
    token_address: Mapped[str]
    """What it pays: the asset's own token, or that of the asset's payout option on this network."""
    token_decimals: Mapped[int]
    address: Mapped[str]
    balance_final: Mapped[Atomic] = mapped_column(server_default="0")
    balance_block: Mapped[int] = mapped_column(server_default="0")
    reserved: Mapped[Atomic] = mapped_column(server_default="0")
    """Of payouts that are reserved and not yet final."""
    low_balance: Mapped[Atomic] = mapped_column(server_default="0")
    period_limit: Mapped[Atomic | None]
    period_seconds: Mapped[int | None]
    period_started_at: Mapped[Utc | None]
    period_reserved: Mapped[Atomic] = mapped_column(server_default="0")
    paused_at: Mapped[Utc | None]
    pause_reason: Mapped[str | None]
    resumes_by_itself: Mapped[bool] = mapped_column(server_default=text("false"))
    """Paused because nobody can be paid (SAFETY S22), and not by an operator: it goes on once a probe succeeds."""
    created_at: Mapped[Utc]


class Intent(Base):
    """One chain transaction that is to happen, whatever number of signed forms (attempts) it takes."""

    __tablename__ = "intents"
    __table_args__ = (
        Index("ix_intents_unfinished", "key_id", "id", postgresql_where=text("state not in ('final', 'failed', 'void')")),
        Index("ix_intents_queued", "key_id", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_intents_included", "key_id", "nonce", postgresql_where=text("state = 'included'")),
        Index("ix_intents_kind", "key_id", "kind", "id"),
        Index("ix_intents_nonce", "key_id", "nonce"),
        Index("uq_intents_ref", "kind", "ref", unique=True, postgresql_where=text("ref is not null")),
        Index("ix_intents_markers", "key_id", "id", postgresql_where=text("marker is not null and marker_closed_at is null")),
        CheckConstraint(
            "state in ('queued', 'bound', 'signed', 'sent', 'expired', 'included', 'final', 'failed', 'void', 'unknown')",
            name="state",
        ),
        CheckConstraint("nonce is not null or marker is not null or kind = 'close' or state in ('queued', 'void')", name="bound"),
        CheckConstraint("block_number is not null or state not in ('included', 'final', 'failed')", name="landed"),
        CheckConstraint("held_back is null or state in ('queued', 'expired')", name="held_back"),
        scope(Scope.PLATFORM),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("keys.id"))
    network: Mapped[str] = mapped_column(ForeignKey("networks.name"))
    kind: Mapped[str]
    """What for: `pay`, `mint`, `deploy`, `approve`, `grant`, `transfer`, `cancel`, `close`."""
    ref: Mapped[UUID | None]
    """Whose: the batch, the funding."""
    work_kind: Mapped[str | None]
    """The work that is woken when its state changes."""
    to_address: Mapped[str | None]
    data: Mapped[bytes]
    """On Solana a message with the instructions, without blockhash, compute budget and marker."""
    value_wei: Mapped[Atomic]
    """On Solana the most lamports that the instructions spend, rent of token accounts say."""
    gas_limit: Mapped[int | None]
    state: Mapped[str]
    held_back: Mapped[str | None]
    """Of `HeldBack`, while queued; `error` has the reason in words."""
    held_until: Mapped[Utc | None]
    """When the engine looks at it again by itself."""
    held_times: Mapped[int] = mapped_column(server_default="0")
    kill_requested_at: Mapped[Utc | None]
    """An operator wants a self-transfer at its nonce, so that it can never land (SAFETY S23)."""
    nonce: Mapped[int | None]
    marker: Mapped[str | None]
    """Of a Solana intent that was signed: the account that its transaction makes, and no second one can (SAFETY S18)."""
    marker_closed_at: Mapped[Utc | None]
    closed_by: Mapped[UUID | None]
    """The intent that closes its marker, while that is under way."""
    transaction_hash: Mapped[str | None]
    """Of the attempt that was sent last, or of the one that landed. On Solana the signature."""
    block_number: Mapped[int | None]
    """On Solana the slot."""
    block_hash: Mapped[str | None]
    succeeded: Mapped[bool | None]
    gas_used: Mapped[int | None]
    fee_paid_wei: Mapped[Atomic | None]
    """On Solana in lamports, with the rent that others keep of it, without the marker's, which comes back."""
    contract_address: Mapped[str | None]
    """Of the contract that it made, once it is included."""
    error: Mapped[str | None]
    created_at: Mapped[Utc]
    updated_at: Mapped[Utc]


class Nonce(Base):
    """A nonce given to an intent, for ever (DESIGN section 6, rule 3)."""

    __tablename__ = "nonces"
    __table_args__ = (scope(Scope.PLATFORM),)

    network: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("keys.id"), primary_key=True)
    nonce: Mapped[int] = mapped_column(primary_key=True)
    intent_id: Mapped[UUID] = mapped_column(ForeignKey("intents.id"))
    bound_at: Mapped[Utc]


class Attempt(Base):
    """One signed form of an intent. Stored means sent: only these bytes ever leave (DESIGN section 6, rule 2)."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("network", "hash"),
        CheckConstraint("(nonce is null) = (last_valid_height is not null)", name="expiry"),
        CheckConstraint("(blockhash is null) = (last_valid_height is null)", name="blockhash"),
        scope(Scope.PLATFORM),
    )

    intent_id: Mapped[UUID] = mapped_column(ForeignKey("intents.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    network: Mapped[str]
    nonce: Mapped[int | None]
    """Of an EVM transaction."""
    blockhash: Mapped[str | None]
    """Of a Solana transaction."""
    last_valid_height: Mapped[int | None]
    """The last block height at which it may land there."""
    raw: Mapped[bytes]
    hash: Mapped[str]
    """On Solana the signature."""
    gas_limit: Mapped[int]
    """On Solana compute units."""
    max_fee_per_gas: Mapped[Atomic]
    """On Solana micro-lamports for a compute unit, and so is the next one."""
    max_priority_fee_per_gas: Mapped[Atomic]
    lease_epoch: Mapped[int]
    kills: Mapped[bool] = mapped_column(server_default=text("false"))
    """Not the intent but a self-transfer at its nonce: once that is final, the intent can never land (SAFETY S23)."""
    signed_block: Mapped[int]
    """The chain's height when it was signed; replacements are counted in blocks from it. On Solana the slot."""
    signed_at: Mapped[Utc]
    sent_at: Mapped[Utc | None]
    outcome: Mapped[str | None]
    """What the node said last when these bytes were sent; no proof of anything."""


class Deployment(Base):
    """The one row that says which deployment this database belongs to (SAFETY S21)."""

    __tablename__ = "deployment"
    __table_args__ = (CheckConstraint("singleton", name="singleton"), scope(Scope.PLATFORM))

    singleton: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    id: Mapped[UUID]
    wallets_fingerprint: Mapped[str | None]
    """Of the master secret that wallets are derived from: another one would give other wallets (SAFETY S6)."""
    created_at: Mapped[Utc]
