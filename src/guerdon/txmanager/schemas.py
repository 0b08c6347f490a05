"""What networks, assets and treasuries look like over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from guerdon.kit.api import AtomicInput, AtomicText, Line, Wire
from guerdon.ledger.models import Asset
from guerdon.txmanager.models import Key, Treasury


class NetworkView(Wire):
    """A chain that is set up."""

    name: str
    namespace: Annotated[str, Field(description="Of CAIP-2: `eip155` or `solana`.")]
    chain_id: Annotated[int | None, Field(description="Of an EVM network; null elsewhere.")]
    genesis_hash: str | None
    block_time_ms: int
    explorer_url: str | None
    max_fee_per_gas: AtomicText | None


class AssetView(Wire):
    """What is earned. One point is `atomicPerPoint` of the token's smallest unit."""

    id: UUID
    symbol: str
    decimals: int
    delivery: str
    network: str | None
    token_address: str | None
    atomic_per_point: AtomicText
    mintable: bool


class KeyView(Wire):
    """A signing key, without its secret."""

    id: UUID
    network: str
    purpose: str
    address: str
    next_nonce: int
    native_balance_wei: AtomicText | None
    paused_at: datetime | None
    pause_reason: str | None
    resumes_by_itself: bool


class TreasuryView(Wire):
    """A hot wallet. Amounts in the token's smallest unit; what it holds is as of block `balanceBlock`, which is final."""

    id: UUID
    asset: str
    network: str
    token_address: str
    token_decimals: int
    address: str
    balance: AtomicText
    balance_block: int
    reserved: AtomicText
    free: AtomicText
    low_balance: AtomicText
    period_limit: AtomicText | None
    period_seconds: int | None
    paused_at: datetime | None
    pause_reason: str | None
    key_paused_at: datetime | None
    key_pause_reason: str | None
    native_balance_wei: AtomicText | None


class TreasuryPause(Wire):
    """Why a treasury is to stop."""

    reason: Annotated[Line, Field(min_length=1)]


class TreasuryLimit(Wire):
    """At most so much in so many seconds; both null: no limit. Below `lowBalance` an alert is raised."""

    amount: AtomicInput | None = None
    period_seconds: Annotated[int | None, Field(ge=1, le=366 * 86_400)] = None
    low_balance: AtomicInput | None = None


def treasury_view(treasury: Treasury, asset: Asset, key: Key) -> TreasuryView:
    """A treasury as it is shown."""
    return TreasuryView(
        id=treasury.id,
        asset=asset.symbol,
        network=treasury.network,
        token_address=treasury.token_address,
        token_decimals=treasury.token_decimals,
        address=treasury.address,
        balance=treasury.balance_final,
        balance_block=treasury.balance_block,
        reserved=treasury.reserved,
        free=max(0, treasury.balance_final - treasury.reserved),
        low_balance=treasury.low_balance,
        period_limit=treasury.period_limit,
        period_seconds=treasury.period_seconds,
        paused_at=treasury.paused_at,
        pause_reason=treasury.pause_reason,
        key_paused_at=key.paused_at,
        key_pause_reason=key.pause_reason,
        native_balance_wei=key.native_balance_wei,
    )
