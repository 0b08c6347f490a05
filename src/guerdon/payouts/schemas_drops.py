"""What drops look like over the wire: camelCase for operators, snake_case for members and whoever claims."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from guerdon.kit.api import BIGINT_MAX, AtomicText, SnakeWire, Wire
from guerdon.payouts.drops import Proof
from guerdon.payouts.models_drops import Drop, DropSeason, DropState, LeafFate, SeasonState

MAX_CHOSEN = 10_000
"""Accounts that one request may name."""


class ChosenAccount(Wire):
    """An account that a drop is for; without `points`, with all that it has available."""

    account_id: UUID
    points: Annotated[int | None, Field(ge=1, le=BIGINT_MAX)] = None


class NewDropBody(Wire):
    """A drop to be made. Without `accounts` it is for everybody with at least `minimumPoints` available."""

    asset: Annotated[str | None, Field(min_length=1, max_length=40, description="Symbol; the program's own if left out.")] = None
    network: Annotated[str | None, Field(min_length=1, max_length=40, description="Where, if it is paid on several.")] = None
    season_id: Annotated[UUID | None, Field(description="Publish a later root of this season instead of a new one.")] = None
    opens_at: Annotated[AwareDatetime | None, Field(description="When claims begin; now, if left out.")] = None
    closes_at: Annotated[AwareDatetime, Field(description="When claims end; what nobody took goes back then.")]
    minimum_points: Annotated[int, Field(ge=1, le=BIGINT_MAX)] = 1
    accounts: Annotated[list[ChosenAccount] | None, Field(min_length=1, max_length=MAX_CHOSEN)] = None


class DropView(Wire):
    """A drop: one root of a season."""

    id: UUID
    season_id: UUID
    number: int
    state: DropState
    season_state: SeasonState
    asset_id: UUID
    network: str
    contract: str
    token_address: str
    chain_season: str
    opens_at: datetime
    closes_at: datetime
    minimum_points: int
    leaves: int
    points: int
    total_atomic: AtomicText
    added_atomic: AtomicText
    season_claimed_atomic: AtomicText
    root: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None


class DropCancel(Wire):
    """Why a drop is given up."""

    reason: Annotated[str, Field(min_length=1, max_length=200)] = "by an operator"


class ClaimTransaction(SnakeWire):
    """What to send to have the address paid; anyone may."""

    to: str
    data: str


class DropProofView(SnakeWire):
    """What an address may claim of a season, and how. `amount_atomic` is left of it; 0 once all is claimed and final."""

    season_id: UUID
    drop_id: UUID
    number: int
    network: str
    chain_id: int
    contract: str
    season: str
    token_mint: str
    address: str
    cumulative_atomic: AtomicText
    claimed_atomic: AtomicText
    amount_atomic: AtomicText
    proof: list[str]
    root: str
    opens_at: datetime
    closes_at: datetime
    is_open: bool
    transaction: ClaimTransaction


class MemberDropView(SnakeWire):
    """Points of yours in a drop: `waiting` for a claim on chain, `claimed`, or `returned` after the window."""

    drop_id: UUID
    season_id: UUID
    number: int
    status: LeafFate
    published: bool
    network: str
    token_mint: str
    address: str
    points: int
    amount_atomic: AtomicText
    transaction_hash: str | None
    opens_at: datetime
    closes_at: datetime


def drop_view(drop: Drop, season: DropSeason) -> DropView:
    """For operators."""
    return DropView(
        id=drop.id, season_id=drop.season_id, number=drop.number, state=DropState(drop.state),
        season_state=SeasonState(season.state), asset_id=season.asset_id, network=season.network, contract=season.contract,
        token_address=season.token_address, chain_season=season.chain_season, opens_at=drop.opens_at, closes_at=drop.closes_at,
        minimum_points=drop.minimum_points, leaves=drop.leaves, points=drop.points, total_atomic=drop.total_atomic,
        added_atomic=drop.added_atomic, season_claimed_atomic=season.claimed_atomic, root=drop.root, reason=drop.reason,
        created_at=drop.created_at, updated_at=drop.updated_at, published_at=drop.published_at,
    )  # fmt: skip


def proof_view(found: Proof, now: datetime) -> DropProofView:
    """For whoever claims."""
    season, drop = found.season, found.drop
    is_open = season.state in {SeasonState.PREPARING, SeasonState.OPEN} and drop.opens_at <= now < drop.closes_at
    return DropProofView(
        season_id=season.id, drop_id=drop.id, number=drop.number, network=season.network, chain_id=season.chain_id,
        contract=season.contract, season=season.chain_season, token_mint=season.token_address, address=found.address,
        cumulative_atomic=found.cumulative_atomic, claimed_atomic=found.claimed_atomic,
        amount_atomic=found.cumulative_atomic - found.claimed_atomic, proof=[f"0x{one.hex()}" for one in found.siblings],
        root=drop.root or "", opens_at=drop.opens_at, closes_at=drop.closes_at, is_open=is_open,
        transaction=ClaimTransaction(to=season.contract, data=f"0x{found.call.hex()}"),
    )  # fmt: skip


def member_drop_view(row: Any) -> MemberDropView:
    """For the account's member."""
    return MemberDropView(
        drop_id=row.drop_id, season_id=row.season_id, number=row.number, status=LeafFate(row.fate),
        published=row.drop_state == DropState.PUBLISHED, network=row.network, token_mint=row.token_address, address=row.address,
        points=row.points, amount_atomic=int(row.amount_atomic), transaction_hash=row.transaction_hash, opens_at=row.opens_at,
        closes_at=row.closes_at,
    )  # fmt: skip
