"""Drops: making and cancelling them, and the proof of what an address may claim.

What moves them on is `drops_collecting.py`, `drops_publishing.py` and `drops_claims.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from guerdon.chains import drop_contract
from guerdon.chains.drop_contract import ChainSeason, Root
from guerdon.chains.merkle import siblings
from guerdon.kit import jobs
from guerdon.kit.database import PlatformSession, ScopedSession, run_in_platform, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.rates import Rate
from guerdon.payouts import repository_drops as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.errors_drops import (
    DropNotFoundError,
    DropNotPossibleError,
    DropOnItsWayError,
    DropProofNotFoundError,
    DropSeasonBusyError,
    DropWindowError,
)
from guerdon.payouts.models_drops import WORK, Drop, DropSeason, DropState, SeasonState
from guerdon.txmanager import repository_options, repository_treasuries, tokens, treasuries
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.errors import IntentNotCancellableError
from guerdon.txmanager.errors_treasuries import AssetWithoutTokenError
from guerdon.txmanager.models import Network, Treasury
from guerdon.txmanager.treasuries import Token

SHORTEST: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=731)
CANCELLABLE: Final = (DropState.COLLECTING, DropState.COLLECTED, DropState.COMMITTED, DropState.PUBLISHING)


@dataclass(frozen=True, slots=True)
class NewDrop:
    """A drop to be made. With `season_id` it is a later root of that season, which keeps when it opened."""

    program_id: UUID
    asset_id: UUID
    opens_at: datetime
    closes_at: datetime
    minimum_points: int = 1
    accounts: Sequence[tuple[UUID, int | None]] | None = None
    """Only these, each with so many points (None: all that it has available)."""
    season_id: UUID | None = None
    network: str | None = None
    """Where an asset that is paid on several networks is to be claimed."""
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody needs to claim for an address."""

    season: DropSeason
    drop: Drop
    address: str
    cumulative_atomic: int
    claimed_atomic: int
    """Of it, claimed already: final on chain."""
    siblings: list[bytes]

    @property
    def call(self) -> bytes:
        """The transaction's data."""
        return drop_contract.claim_call(self.season.chain_season, self.address, self.cumulative_atomic, self.siblings)


def leaf_ref(drop_id: UUID, address: str) -> UUID:
    """What the postings of a leaf's points refer to: each kind once."""
    return uuid5(drop_id, address)


def whole(points: int, numerator: int, denominator: int) -> tuple[int, int]:
    """Of so many points those that convert, and the atomic units that they are: rounded down, and nothing is debited for
    what the rounding cuts off.
    """
    atomic = points * numerator // denominator
    return -(-atomic * denominator // numerator), atomic


async def create(session: PlatformSession, asked: NewDrop) -> Drop:
    """Begin a drop: `drops.advance` holds the points, publishes the root and accounts for what is claimed.

    Raises `DropNotPossibleError`, `DropWindowError`, `DropNotFoundError`, `DropSeasonBusyError`.
    """
    now = await transaction_time(session)
    opens_at, closes_at = asked.opens_at.replace(microsecond=0), asked.closes_at.replace(microsecond=0)
    number, carried = 1, "~"
    if asked.season_id is None:
        _check_window(opens_at, closes_at, now)
        season = await _new_season(session, asked, opens_at, closes_at, now)
    else:
        season, number = await _season_for_more(session, asked, now)
        opens_at, carried = season.opens_at, ""
        _check_window(opens_at, closes_at, now)
        if closes_at < season.closes_at:
            raise DropWindowError(details={"closesAt": season.closes_at.isoformat()})
    chosen = (
        None if asked.accounts is None else [[str(account), points] for account, points in sorted(dict(asked.accounts).items())]
    )
    drop = Drop(
        program_id=asked.program_id, id=asked.id, season_id=season.id, number=number, state=DropState.COLLECTING,
        opens_at=opens_at, closes_at=closes_at, minimum_points=asked.minimum_points, chosen=chosen,
        carried_to=None if carried == "" else carried, leaves=0, points=0, total_atomic=0, added_atomic=0, attempts=0,
        created_at=now, updated_at=now,
    )  # fmt: skip
    session.add(drop)
    await session.flush()
    await jobs.wake(session, WORK, PLATFORM_PROGRAM_ID)
    return drop


async def _new_season(
    session: PlatformSession, asked: NewDrop, opens_at: datetime, closes_at: datetime, now: datetime
) -> DropSeason:
    asset = await session.get(Asset, asked.asset_id)
    if asset is None:
        raise DropNotPossibleError
    token, rate = await _paid_in(session, asset, asked.network)
    network = await session.get(Network, token.network)
    treasury = await repository_treasuries.treasury_on(session, asset.id, token.network)
    contract = await repository_treasuries.contract_address(session, token.network, drop_contract.NAME)
    if network is None or network.chain_id is None or treasury is None or contract is None:
        raise DropNotPossibleError
    season = DropSeason(
        program_id=asked.program_id, id=uuid7(), asset_id=asset.id, treasury_id=treasury.id, network=network.name,
        chain_id=network.chain_id, contract=contract, token_address=token.address, chain_season="",
        atomic_numerator=rate.atomic_numerator, points_denominator=rate.points_denominator, state=SeasonState.PREPARING,
        opens_at=opens_at, closes_at=closes_at, total_atomic=0, claimed_atomic=0, attempts=0, created_at=now, updated_at=now,
    )  # fmt: skip
    season.chain_season = drop_contract.season_id(network.chain_id, contract, treasury.address, token.address, season.id.bytes)
    session.add(season)
    await session.flush()
    return season


async def _paid_in(session: PlatformSession, asset: Asset, network: str | None) -> tuple[Token, Rate]:
    """The token and the rate that an asset is paid by on a network (the only one, if none is named)."""
    try:
        token = await treasuries.token_of(session, asset, network)
    except AssetWithoutTokenError as error:
        raise DropNotPossibleError(details=error.details) from error
    if asset.delivery != Delivered.ON_CLAIM:
        return token, asset.rate
    option = await repository_options.option(session, asset.id, token.network)
    if option is None or not option.enabled:
        raise DropNotPossibleError
    return token, option.rate


async def _season_for_more(session: PlatformSession, asked: NewDrop, now: datetime) -> tuple[DropSeason, int]:
    season = await repository.season(session, asked.program_id, asked.season_id or asked.id, for_update=True)
    if season is None or season.asset_id != asked.asset_id:
        raise DropNotFoundError
    earlier = await repository.drops_of(session, season.program_id, season.id)
    if season.state != SeasonState.OPEN or season.closes_at <= now or any(one.state != DropState.PUBLISHED for one in earlier):
        raise DropSeasonBusyError(details={"state": season.state})
    return season, earlier[-1].number + 1


def _check_window(opens_at: datetime, closes_at: datetime, now: datetime) -> None:
    if closes_at < now + SHORTEST or not SHORTEST <= closes_at - opens_at <= LONGEST:
        raise DropWindowError


async def cancel(deps: PayoutDeps, program_id: UUID, drop_id: UUID, reason: str) -> Drop:
    """Give up a drop that is not on chain and provably can't land there; its points go back to their accounts.

    Cancelled again it stays as it is. Raises `DropNotFoundError`, `DropOnItsWayError`.
    """
    async with deps.database.platform() as session:
        drop = await repository.drop(session, program_id, drop_id)
        season = None if drop is None else await repository.season(session, program_id, drop.season_id)
    if drop is None or season is None:
        raise DropNotFoundError
    if drop.state in {DropState.CANCELLING, DropState.CANCELLED}:
        return drop
    # The chain is asked whatever the books say: they may be a restored copy that knows of no transaction (SAFETY S21).
    seen = await on_chain(deps, season)

    async def give_up(session: PlatformSession) -> Drop:
        treasury = await repository_treasuries.lock_treasury(session, season.treasury_id)
        await repository.lock_season(session, program_id, season.id)
        locked = await repository.drop(session, program_id, drop_id, for_update=True)
        if locked is None:
            raise DropNotFoundError
        if locked.state in {DropState.CANCELLING, DropState.CANCELLED}:
            return locked
        if locked.state not in CANCELLABLE or seen.number >= locked.number:
            raise DropOnItsWayError(details={"state": locked.state})
        await withdraw(session, treasury, locked, reason)
        return locked

    return await run_in_platform(deps.database, give_up)


async def withdraw(session: PlatformSession, treasury: Treasury, drop: Drop, reason: str) -> None:
    """From any state before its transaction had a nonce to `cancelling`. Treasury, season and drop are locked.

    Raises `DropOnItsWayError` where the transaction may land.
    """
    now = await transaction_time(session)
    if drop.state == DropState.PUBLISHING and drop.intent_id is not None and drop.reserved_at is not None:
        try:
            await txmanager.cancel(session, drop.intent_id, reason)
        except IntentNotCancellableError as error:
            raise DropOnItsWayError(details={"state": drop.state}) from error
        treasuries.release(treasury, drop.added_atomic, reserved_since=drop.reserved_at, now=now)
    drop.state, drop.reason, drop.updated_at = DropState.CANCELLING, reason, now
    await session.flush()
    await jobs.wake(session, WORK, PLATFORM_PROGRAM_ID)


async def on_chain(deps: PayoutDeps, season: DropSeason, block: str = "latest") -> ChainSeason:
    """A season as the contract has it after a block."""
    rpc = await deps.chain(season.network)
    return drop_contract.read_season(
        await tokens.read(rpc, season.contract, drop_contract.season_of_call(season.chain_season), block)
    )


def root_of(drop: Drop) -> Root:
    """What a drop publishes."""
    if drop.root is None:
        message = f"drop {drop.id} has no root yet"
        raise AssertionError(message)
    return Root(drop.number, drop.root, drop.total_atomic, unix(drop.opens_at), unix(drop.closes_at))


def unix(moment: datetime) -> int:
    """A time as chains have it."""
    return int(moment.timestamp())


def moment(unix_seconds: int) -> datetime:
    """The same the other way."""
    return datetime.fromtimestamp(unix_seconds, UTC)


async def proof(session: ScopedSession, program_id: UUID, season_id: UUID, address: str) -> Proof:
    """What an address may claim by the root that the chain has now. Raises `DropNotFoundError`, `DropProofNotFoundError`."""
    season = await repository.season(session, program_id, season_id)
    if season is None:
        raise DropNotFoundError
    drop_id = await repository.shown_drop(session, program_id, season_id)
    drop = None if drop_id is None else await repository.drop(session, program_id, drop_id)
    leaf = None if drop is None else await repository.leaf(session, program_id, drop.id, address.lower())
    if drop is None or leaf is None or leaf.place is None:
        raise DropProofNotFoundError
    return Proof(
        season,
        drop,
        leaf.address,
        int(leaf.cumulative_atomic),
        await repository.claimed_at(session, program_id, season_id, leaf.address),
        await repository.tree_nodes(session, program_id, drop.id, siblings(leaf.place)),
    )
