"""Administration of what is the platform operator's: networks, assets, treasuries and the funding of programs (SAFETY S3).

It is here and not beside the treasuries since who may ask is known from `programs` upwards.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import Field

from guerdon.chains.solana.tokens import Mint
from guerdon.kit.api import BIGINT_MAX, AtomicText, CursorText, Limit, Page, Wire, decode_id_cursor, page
from guerdon.kit.database import PlatformSession
from guerdon.kit.errors import GuerdonError
from guerdon.programs import funding, repository_funding
from guerdon.programs.dependencies import Reading, Writing, funding_deps
from guerdon.programs.errors_funding import FundingNotFoundError
from guerdon.programs.funding import FundingRequest
from guerdon.programs.models import Funding
from guerdon.txmanager import repository_keys, repository_treasuries, treasuries
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.schemas import AssetView, NetworkView, TreasuryLimit, TreasuryPause, TreasuryView, treasury_view

router = APIRouter(prefix="/api/admin", tags=["platform"])

ProgramPath = Annotated[str, Path(min_length=1, max_length=60, description="Brand id, or the program's own id.")]
TreasuryPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=60,
        description="The asset's symbol (SYMBOL@NETWORK where it has several), or the treasury's id or address.",
    ),
]


class NewFunding(Wire):
    """Points for a program, minted."""

    points: Annotated[int, Field(ge=1, le=BIGINT_MAX)]
    network: Annotated[str | None, Field(max_length=60, description="Where; the default payout option's, if left out.")] = None


class FundingView(Wire):
    """A funding: `pending` until its tokens are final in the treasury, then `booked`; or `failed`."""

    id: UUID
    program_id: UUID
    kind: str
    state: str
    points: int
    amount_atomic: AtomicText
    transaction_hash: str | None
    reason: str | None
    created_at: datetime


@router.get("/networks")
async def list_networks(request: Reading) -> Page[NetworkView]:
    """Chains that are set up."""
    async with request.services.database.platform() as session:
        rows = await repository_keys.networks(session)
    return Page(items=[NetworkView.model_validate(row) for row in rows], next_cursor=None)


@router.get("/assets")
async def list_assets(request: Reading) -> Page[AssetView]:
    """What can be earned."""
    async with request.services.database.platform() as session:
        rows = await repository_treasuries.assets(session)
    return Page(items=[AssetView.model_validate(row) for row in rows], next_cursor=None)


@router.get("/treasuries")
async def list_treasuries(request: Reading) -> Page[TreasuryView]:
    """Hot wallets, what they hold and what is reserved of it. For operators of the platform."""
    request.operator.require_platform()
    async with request.services.database.platform() as session:
        rows = await repository_treasuries.treasuries(session)
    return Page(items=[treasury_view(*row) for row in rows], next_cursor=None)


@router.post("/treasuries/{treasury}/pause", response_model=TreasuryView)
async def pause_treasury(treasury: TreasuryPath, body: TreasuryPause, request: Writing) -> Response:
    """Reserve and send nothing more from it; what is signed goes on. For operators of the platform."""
    request.operator.require_platform()
    now = request.services.clock.now()

    async def work(session: PlatformSession) -> TreasuryView:
        found, _ = await treasuries.find(session, treasury)
        return await _view(session, await treasuries.pause(session, found.id, body.reason, now))

    return await request.write_platform(body, work)


@router.post("/treasuries/{treasury}/resume", response_model=TreasuryView)
async def resume_treasury(treasury: TreasuryPath, request: Writing) -> Response:
    """Go on. For operators of the platform."""
    request.operator.require_platform()

    async def work(session: PlatformSession) -> TreasuryView:
        found, _ = await treasuries.find(session, treasury)
        return await _view(session, await treasuries.resume(session, found.id))

    return await request.write_platform(None, work)


@router.put("/treasuries/{treasury}/limit", response_model=TreasuryView)
async def limit_treasury(treasury: TreasuryPath, body: TreasuryLimit, request: Writing) -> Response:
    """What may be paid from it in a period, and when its balance is low. For operators of the platform."""
    request.operator.require_platform()

    async def work(session: PlatformSession) -> TreasuryView:
        found, _ = await treasuries.find(session, treasury)
        changed = await treasuries.limit(
            session, found.id, amount_atomic=body.amount, period_seconds=body.period_seconds, low_balance=body.low_balance
        )
        return await _view(session, changed)

    return await request.write_platform(body, work)


async def _view(session: PlatformSession, treasury: Treasury) -> TreasuryView:
    rows = await repository_treasuries.treasuries(session)
    return next(treasury_view(*row) for row in rows if row[0].id == treasury.id)


@router.post("/programs/{program}/fundings", status_code=202, response_model=FundingView)
async def fund_program(program: ProgramPath, body: NewFunding, request: Writing) -> Response:
    """Mint tokens for a program; they are booked when that is final. For operators of the platform (SAFETY S3)."""
    request.operator.require_platform()
    found = await request.program(program)
    mint: Mint | GuerdonError | None
    try:
        mint = await funding.find_mint(funding_deps(request), found.id, body.network)
    except GuerdonError as error:
        mint = error

    async def work(session: PlatformSession) -> FundingView:
        # Raised here and not before: a repeat with its key gets the first answer, whatever the chain says by now.
        if isinstance(mint, GuerdonError):
            raise mint
        asked = FundingRequest(found.id, body.points, network=body.network, mint=mint)
        return FundingView.model_validate(await funding.request_funding(session, asked))

    return await request.write_platform(body, work, status=202)


@router.get("/programs/{program}/fundings")
async def list_fundings(
    program: ProgramPath, request: Reading, limit: Limit = 50, cursor: CursorText = None
) -> Page[FundingView]:
    """A program's fundings, newest first."""
    after = decode_id_cursor(cursor)
    found = await request.program(program)
    async with request.services.database.platform() as session:
        fundings = await repository_funding.fundings_of(session, found.id, after, limit + 1)
        rows, following = page(fundings, limit, lambda row: row.id)
        return Page(items=[FundingView.model_validate(row) for row in rows], next_cursor=following)


@router.get("/programs/{program}/fundings/{funding_id}")
async def show_funding(program: ProgramPath, funding_id: UUID, request: Reading) -> FundingView:
    """One funding."""
    found = await request.program(program)
    async with request.services.database.platform() as session:
        known: Funding | None = await repository_funding.funding(session, funding_id)
    if known is None or known.program_id != found.id:
        raise FundingNotFoundError
    return FundingView.model_validate(known)
