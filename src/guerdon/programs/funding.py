"""Funding a program: tokens come into the treasury, by minting or by a deposit, and are booked when that is final (SAFETY S3).

What is on chain is read by `txmanager/tokens.py`; the posting is the ledger's. A program's own key can't get here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from guerdon.chains.port import ChainUnavailableError
from guerdon.chains.solana.tokens import Mint, NotATokenError
from guerdon.kit import jobs, outbox
from guerdon.kit.database import Database, PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.failures import note_failure
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.outbox import Severity
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, Delivered, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.rates import Rate
from guerdon.programs import repository_funding as repository
from guerdon.programs.errors_funding import (
    DepositAmountError,
    DepositNotFoundError,
    DepositUsedError,
    FundingConflictError,
    NotMintableError,
    NoTreasuryError,
)
from guerdon.programs.models import Funding, FundingKind, FundingState, Program
from guerdon.txmanager import backing, minting, repository_options, repository_treasuries, treasury_chains
from guerdon.txmanager import repository as txmanager_repository
from guerdon.txmanager import treasuries as treasury_service
from guerdon.txmanager.models import Intent, IntentState, Treasury
from guerdon.txmanager.solana.treasury import SolanaTreasury
from guerdon.txmanager.tokens import Chains, Solanas
from guerdon.txmanager.treasury_chains import TreasuryChain

WORK: Final = "fundings.advance"
STUCK_ALERT: Final = "funding.stuck"
_LOOK_AGAIN: Final = timedelta(seconds=1)
_NOT_FOUND_AFTER: Final = timedelta(days=1)

log = structlog.get_logger("guerdon.funding")


@dataclass(frozen=True, slots=True)
class FundingDeps:
    """What funding needs from the application."""

    database: Database
    chain: Chains
    solana: Solanas | None = None
    """Where there are any."""

    async def look_at(self, treasury: Treasury) -> TreasuryChain:
        """What its chain has of a treasury."""
        return await treasury_chains.look_at(self.database, self.chain, self.solana, treasury)


@dataclass(frozen=True, slots=True)
class Deposit:
    """A transfer to the treasury that a funding is to book. `place` is within the transaction (SAFETY S34)."""

    transaction_hash: str
    place: int
    amount_atomic: int


@dataclass(frozen=True, slots=True)
class FundingRequest:
    """Points for a program. `id` is the funding's own: asked for twice it happens once."""

    program_id: UUID
    points: int
    deposit: Deposit | None = None
    network: str | None = None
    """Whose treasury: it may be left out where the asset has one treasury, or one by default."""
    mint: Mint | None = None
    """Of a Solana that is to mint: the token, as `find_mint` saw it."""
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Way:
    """How points of an asset come to be backed on one network: by which treasury, at which rate, and whether we may mint."""

    treasury: Treasury
    rate: Rate
    mintable: bool


async def way_of(session: PlatformSession, program: Program, asset: Asset, network: str | None) -> Way:
    """The way on a network; where none is named, the only one, or the one that is a default. Raises `NoTreasuryError`.

    Its rate is the best that the program's points may be claimed at, as campaigns that are not over have it.
    """
    if asset.delivery != Delivered.ON_CLAIM:
        treasury = None if asset.network is None else await repository_treasuries.treasury_on(session, asset.id, asset.network)
        if treasury is None or network not in {None, treasury.network}:
            raise NoTreasuryError
        return Way(treasury, asset.rate, asset.mintable)
    ways: list[tuple[bool, Way]] = []
    worth = await backing.worth(session, asset, program.id)
    for option, _ in await repository_options.options(session, asset.id):
        treasury = await repository_treasuries.treasury_on(session, asset.id, option.network)
        if treasury is not None and network in {None, option.network}:
            ways.append((option.is_default, Way(treasury, option.rate.times(worth), option.mintable)))
    chosen = ways if len(ways) == 1 else [way for way in ways if way[0]]
    if len(chosen) != 1:
        raise NoTreasuryError(details={"networks": [way.treasury.network for _, way in ways]})
    return chosen[0][1]


async def request_funding(session: PlatformSession, request: FundingRequest) -> Funding:
    """Ask for a funding; `fundings.advance` books it when its tokens are final in the treasury.

    Raises `NoTreasuryError`, `NotMintableError`, `DepositUsedError`, `FundingConflictError`.
    """
    program = await session.get_one(Program, request.program_id)
    asset = await session.get_one(Asset, program.asset_id)
    way = await way_of(session, program, asset, request.network)
    treasury = way.treasury
    deposit, now = request.deposit, await transaction_time(session)
    if deposit is None:
        _require_mintable(way, request)
    inserted = await repository.insert_funding(
        session,
        {
            "id": request.id,
            "program_id": program.id,
            "asset_id": asset.id,
            "kind": FundingKind.MINT if deposit is None else FundingKind.DEPOSIT,
            "state": FundingState.PENDING,
            "points": request.points,
            "amount_atomic": way.rate.needed(request.points),
            "network": treasury.network,
            "transaction_hash": None if deposit is None else deposit.transaction_hash,
            "log_index": None if deposit is None else deposit.place,
            "created_at": now,
            "updated_at": now,
        },
    )
    funding = await repository.funding(session, request.id)
    if funding is None:
        raise DepositUsedError
    if (funding.program_id, funding.points) != (program.id, request.points):
        raise FundingConflictError
    if inserted and deposit is None:
        amount, ref = funding.amount_atomic, funding.id
        if request.mint is None:
            funding.intent_id = await minting.queue_mint(session, treasury, amount_atomic=amount, ref=ref, work_kind=WORK)
        else:
            funding.intent_id = await minting.queue_mint_on_solana(
                session, treasury, request.mint, amount_atomic=amount, ref=ref, work_kind=WORK
            )
        await session.flush()
    await jobs.wake(session, WORK, PLATFORM_PROGRAM_ID)
    return funding


def _require_mintable(way: Way, request: FundingRequest) -> None:
    """Raise `NotMintableError` where an operator did not ask for minting, or the token says that we may not."""
    if not way.mintable:
        raise NotMintableError
    if request.mint is not None:
        problem = minting.why_not(request.mint, way.treasury, way.rate.needed(request.points))
        if problem is not None:
            raise NotMintableError(f"We may not mint this asset: {problem}.")


async def find_mint(deps: FundingDeps, program_id: UUID, network: str | None = None) -> Mint | None:
    """The token of a treasury of a Solana that is to mint for a program; None on every other network.

    Raises `NoTreasuryError`, `NotMintableError` where there is no such token.
    """
    async with deps.database.platform() as session:
        program = await session.get_one(Program, program_id)
        way = await way_of(session, program, await session.get_one(Asset, program.asset_id), network)
    if not way.mintable:
        return None
    on_chain = await deps.look_at(way.treasury)
    try:
        return await on_chain.mint() if isinstance(on_chain, SolanaTreasury) else None
    except NotATokenError as error:
        raise NotMintableError(f"We may not mint this asset: {error}.") from None


async def find_deposit(
    deps: FundingDeps, program_id: UUID, transaction_hash: str, points: int | None, network: str | None = None
) -> tuple[Deposit, int]:
    """The first unused transfer of a transaction to the treasury (of this many points, if given), and its points.

    Raises `NoTreasuryError`, `DepositNotFoundError`, `DepositUsedError`, `DepositAmountError`.
    """
    if transaction_hash[:2].lower() == "0x":
        transaction_hash = transaction_hash.lower()
    async with deps.database.platform() as session:
        program = await session.get_one(Program, program_id)
        asset = await session.get_one(Asset, program.asset_id)
        way = await way_of(session, program, asset, network)
        treasury = way.treasury
    incoming = await (await deps.look_at(treasury)).incoming(transaction_hash)
    marked = None if incoming is None else incoming.marked
    async with deps.database.platform() as session:
        if await txmanager_repository.is_ours(session, treasury.network, transaction_hash, marked):
            message = "This transaction is our own: what we mint or move ourselves is no deposit."
            raise DepositNotFoundError(message)
        used = await repository.places_used(session, treasury.network, transaction_hash)
    if incoming is None or not incoming.transfers:
        raise DepositNotFoundError
    unused = {place: amount for place, amount in incoming.transfers.items() if place not in used}
    if not unused:
        raise DepositUsedError
    for place, amount in sorted(unused.items()):
        worth = way.rate.points(amount)
        if worth > 0 and points in {None, worth}:
            return Deposit(transaction_hash, place, amount), worth
    raise DepositAmountError(details={"transfersInPoints": [str(way.rate.points(amount)) for amount in unused.values()]})


async def advance(deps: FundingDeps) -> timedelta | None:
    """Move every pending funding on; when to look again, while something waits that wakes nobody."""
    async with deps.database.platform() as session:
        pending = await repository.pending(session)
    again = False
    for funding in pending:
        try:
            again |= await (_advance_mint if funding.kind == FundingKind.MINT else _advance_deposit)(deps, funding)
        except ChainUnavailableError as error:
            log.warning("funding.chain_unavailable", funding=str(funding.id), error=str(error))
            again = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await note_failure(deps.database, "moving a funding on", str(funding.id), error)
            again = True
    return _LOOK_AGAIN if again else None


async def _advance_mint(deps: FundingDeps, funding: Funding) -> bool:
    """Whether to look again without being woken."""
    async with deps.database.platform() as session:
        intent = None if funding.intent_id is None else await session.get(Intent, funding.intent_id, populate_existing=True)
    if intent is None:
        await _fail(deps, funding, "it was never minted")
        return False
    match IntentState(intent.state):
        case IntentState.FINAL:
            return not await _book(deps, funding, intent.transaction_hash, intent.block_number or 0)
        case IntentState.FAILED | IntentState.VOID:
            await _fail(deps, funding, intent.error or "the minting transaction failed on chain")
        case IntentState.QUEUED | IntentState.EXPIRED if intent.held_back is not None:
            await _note(deps, funding, f"waiting: {intent.error or intent.held_back}")
        case _:
            pass
    return False


async def _advance_deposit(deps: FundingDeps, funding: Funding) -> bool:
    async with deps.database.platform() as session:
        asset = await session.get_one(Asset, funding.asset_id)
        treasury = await repository_treasuries.treasury_on(session, asset.id, funding.network)
        age = await transaction_time(session) - funding.created_at
    if treasury is None or funding.transaction_hash is None or funding.log_index is None:
        await _fail(deps, funding, "its treasury is gone")
        return False
    incoming = await (await deps.look_at(treasury)).incoming(funding.transaction_hash)
    if incoming is None:
        if age > _NOT_FOUND_AFTER:
            await _fail(deps, funding, "its transaction is in no block")
            return False
        return True
    if not incoming.is_final:
        return True
    # What the points needed when they were asked for, whatever the rate is by now; a transfer may carry a rest besides.
    if incoming.transfers.get(funding.log_index, 0) < funding.amount_atomic:
        await _fail(deps, funding, "its transaction, now final, has no such transfer to the treasury")
        return False
    return not await _book(deps, funding, funding.transaction_hash, incoming.block_number)


async def _book(deps: FundingDeps, funding: Funding, transaction_hash: str | None, block_number: int) -> bool:
    """Post the funds of a funding whose tokens are final; False if the treasury does not back them (yet)."""
    async with deps.database.platform() as session:
        asset = await session.get_one(Asset, funding.asset_id)
        treasury = await repository_treasuries.treasury_on(session, funding.asset_id, funding.network)
    if treasury is None:
        return False
    finality = await (await deps.look_at(treasury)).finality()
    if finality.block_number < block_number:
        return False
    treasury_id = treasury.id

    async def book(session: PlatformSession) -> bool:
        # Treasuries come first (SAFETY S15); locked, they put fundings of an asset one after the other.
        await backing.lock_vaults(session, asset)
        _, rose = await treasury_service.take_over(session, treasury_id, finality)
        locked = await repository.lock_pending(session, funding.id)
        if locked is None:
            return True
        missing = await backing.unbacked(session, asset, locked.points, of_program=locked.program_id)
        if missing > 0:
            await _tell_stuck(session, locked, missing)
            return False
        now = await transaction_time(session)
        async with program_scope(session, locked.program_id):
            await ledger.post(session, locked.program_id, [Movement(PostingKind.FUND, locked.id, asset.id, locked.points)], now)
        locked.state = FundingState.BOOKED
        locked.transaction_hash = transaction_hash
        locked.reason = None
        locked.updated_at = now
        await outbox.resolve_alert(session, STUCK_ALERT, str(locked.id))
        await outbox.append(
            session,
            "program.funded",
            {"funding": str(locked.id), "points": str(locked.points), "transactionHash": transaction_hash},
            program_id=locked.program_id,
        )
        if rose:
            await treasury_service.wake_waiting(session)
        return True

    return await run_in_platform(deps.database, book)


async def _tell_stuck(session: PlatformSession, funding: Funding, missing_points: int) -> None:
    funding.reason = f"not backed: the treasuries hold too little for {missing_points} of the points that programs are promised"
    await outbox.raise_alert(
        session,
        STUCK_ALERT,
        str(funding.id),
        severity=Severity.CRITICAL,
        message=f"funding {funding.id} is {funding.reason}",
        remedy="The missing tokens left the treasury outside of Guerdon, or a campaign pays more since: send them, or end it. "
        "`guerdon ledger verify` tells how many.",
        program_id=funding.program_id,
    )


async def _fail(deps: FundingDeps, funding: Funding, reason: str) -> None:
    async def fail(session: PlatformSession) -> None:
        locked = await repository.lock_pending(session, funding.id)
        if locked is not None:
            locked.state, locked.reason = FundingState.FAILED, reason
            locked.updated_at = await transaction_time(session)
            await outbox.resolve_alert(session, STUCK_ALERT, str(locked.id))
            await outbox.append(
                session, "program.funding_failed", {"funding": str(funding.id), "reason": reason}, program_id=funding.program_id
            )

    await run_in_platform(deps.database, fail)
    log.error("funding.failed", funding=str(funding.id), reason=reason)


async def _note(deps: FundingDeps, funding: Funding, reason: str) -> None:
    if funding.reason == reason:
        return

    async def note(session: PlatformSession) -> None:
        locked = await repository.lock_pending(session, funding.id)
        if locked is not None:
            locked.reason = reason

    await run_in_platform(deps.database, note)
