"""Administration of what takes the chain to answer first: networks, assets and treasuries to be made, deposits to be booked.

For operators of the platform (SAFETY S3). The chain is asked before the transaction begins (DESIGN section 4).
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from guerdon.kit.api import BIGINT_MAX, AtomicInput, Line, Wire
from guerdon.kit.database import PlatformSession
from guerdon.kit.errors import GuerdonError
from guerdon.ledger.models import Delivered
from guerdon.programs import funding
from guerdon.programs.dependencies import Writing, funding_deps
from guerdon.programs.funding import Deposit, FundingRequest
from guerdon.programs.routes_platform import FundingView, ProgramPath
from guerdon.programs.service import asset_of
from guerdon.txmanager import assets, repository_treasuries, service_keys, treasuries
from guerdon.txmanager.schemas import AssetView, NetworkView, TreasuryView, treasury_view

router = APIRouter(prefix="/api/admin", tags=["platform"])

_MAX_CHAIN_ID = 2**53
_MAX_BLOCK_TIME_MS = 3_600_000

Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
NetworkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,32}$")]


class NewNetwork(Wire):
    """A chain to be set up, or changed: its name and chain stay. Its RPC address is in the settings."""

    name: NetworkName
    chain_id: Annotated[int | None, Field(ge=1, le=_MAX_CHAIN_ID, description="Of an EVM network; null: it is a Solana.")]
    block_time_ms: Annotated[int | None, Field(ge=1, le=_MAX_BLOCK_TIME_MS)] = None
    explorer_url: Annotated[Line | None, Field(description="Where people look transactions up.")] = None
    max_fee_per_gas: Annotated[AtomicInput | None, Field(description="Wei; a transaction that would cost more waits.")] = None


class NewAsset(Wire):
    """An asset of a token that exists: paid from stock, its decimals read from the chain. Points that are claimed may be made
    without a token; payout options say what they are paid in.
    """

    symbol: Symbol
    network: NetworkName | None = None
    token_address: Address | None = None
    delivery: Delivered = Delivered.AUTOMATIC
    atomic_per_point: Annotated[int, Field(ge=1, le=BIGINT_MAX)] = 1


class NewTreasury(Wire):
    """The hot wallet of an asset on a network, with a key of its own."""

    asset: Line
    network: Annotated[NetworkName | None, Field(description="Needed where the asset is paid on several.")] = None
    low_balance: Annotated[AtomicInput, Field(description="An alert is raised below this.")] = 0


class NewDeposit(Wire):
    """Points for a program, backed by tokens that a transaction sent to the treasury. Without `points`: what they are worth."""

    transaction_hash: Annotated[str, StringConstraints(pattern=r"^(0x[0-9a-fA-F]{64}|[1-9A-HJ-NP-Za-km-z]{64,88})$")]
    points: Annotated[int | None, Field(ge=1, le=BIGINT_MAX)] = None
    network: Annotated[NetworkName | None, Field(description="Where the treasury is; the default one's, if left out.")] = None


@router.post("/networks", response_model=NetworkView)
async def set_network(body: NewNetwork, request: Writing) -> Response:
    """Set a chain up, or change its block time, explorer and fee cap."""
    request.operator.require_platform()

    async def work(session: PlatformSession) -> NetworkView:
        await service_keys.set_network(
            session,
            name=body.name,
            chain_id=body.chain_id,
            block_time_ms=body.block_time_ms,
            explorer_url=body.explorer_url,
            max_fee_per_gas=body.max_fee_per_gas,
        )
        return NetworkView.model_validate(await service_keys.network(session, body.name))

    return await request.write_platform(body, work)


@router.post("/assets", status_code=201, response_model=AssetView)
async def create_asset(body: NewAsset, request: Writing) -> Response:
    """Make an asset of a token that exists."""
    request.operator.require_platform()
    new = assets.NewAsset(body.symbol, body.network, body.token_address, body.delivery, body.atomic_per_point)
    decimals = await assets.decimals_of(funding_deps(request).chain, new)
    now = request.services.clock.now()

    async def work(session: PlatformSession) -> AssetView:
        return AssetView.model_validate(await assets.add_asset(session, new, decimals, now))

    return await request.write_platform(body, work, status=201)


@router.post("/treasuries", status_code=201, response_model=TreasuryView)
async def create_treasury(body: NewTreasury, request: Writing) -> Response:
    """Make the hot wallet of an asset. It approves the distributor once its key has native coin."""
    request.operator.require_platform()
    now = request.services.clock.now()

    async def work(session: PlatformSession) -> TreasuryView:
        asset = await asset_of(session, body.asset)
        made = await treasuries.create_treasury(
            session, request.services.secrets, asset, network=body.network, low_balance=body.low_balance, now=now
        )
        rows = await repository_treasuries.treasuries(session)
        return next(treasury_view(*row) for row in rows if row[0].id == made.id)

    return await request.write_platform(body, work, status=201)


@router.post("/programs/{program}/deposits", status_code=202, response_model=FundingView)
async def book_deposit(program: ProgramPath, body: NewDeposit, request: Writing) -> Response:
    """Give a program the points that a transfer to the treasury is worth; they are booked when it is final."""
    request.operator.require_platform()
    found = await request.program(program)
    asked = await _asked(request, found.id, body)

    async def work(session: PlatformSession) -> FundingView:
        # Raised here and not before: a repeat with its key gets the first answer, though the deposit is used by now.
        if isinstance(asked, GuerdonError):
            raise asked
        deposit, points = asked
        return FundingView.model_validate(
            await funding.request_funding(session, FundingRequest(found.id, points, deposit, body.network))
        )

    return await request.write_platform(body, work, status=202)


async def _asked(request: Writing, program_id: UUID, body: NewDeposit) -> tuple[Deposit, int] | GuerdonError:
    try:
        return await funding.find_deposit(funding_deps(request), program_id, body.transaction_hash, body.points, body.network)
    except GuerdonError as error:
        return error
