"""Administration of sources and of the assets whose payments count. Reports come in by `routes_reports.py`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response

from guerdon.activity.settlements import assets, repository_sources, sources
from guerdon.activity.settlements.schemas import (
    NewSecret,
    NewSource,
    SecretRotation,
    SettlementAssetInput,
    SettlementAssetView,
    SourceChange,
    SourceCreated,
    SourceView,
)
from guerdon.activity.settlements.sources import Maker
from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, page
from guerdon.kit.database import PlatformSession
from guerdon.programs.dependencies import Reading, Writing

router = APIRouter(prefix="/api/admin", tags=["settlements"])

NetworkPath = Annotated[str, Path(min_length=1, max_length=64)]
AddressPath = Annotated[str, Path(min_length=32, max_length=44)]


def _maker(request: Writing) -> Maker:
    return Maker(request.services.secrets, request.operator, request.services.clock.now())


@router.get("/sources")
async def list_sources(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[SourceView]:
    """Where the program's payments are reported from."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository_sources.sources_after(session, program.id, after, limit + 1)
        rows, following = page(found, limit, lambda row: row.id)
        now = request.services.clock.now()
        return Page(items=await sources.source_views(session, program.id, rows, now), next_cursor=following)


@router.post("/sources", status_code=201, response_model=SourceCreated)
async def create_source(body: NewSource, request: Writing) -> Response:
    """A new source; its secret is shown this once."""
    program = await request.program()
    maker = _maker(request)
    return await request.write_program(
        program.id, body, lambda session: sources.create_source(session, program.id, body, maker), status=201
    )


@router.get("/sources/{source_id}")
async def show_source(source_id: UUID, request: Reading) -> SourceView:
    """One source."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await sources.found_source(session, program.id, source_id)
        return await sources.source_view(session, found, request.services.clock.now())


@router.patch("/sources/{source_id}", response_model=SourceView)
async def change_source(source_id: UUID, body: SourceChange, request: Writing) -> Response:
    """Change what is said and keep the rest."""
    program = await request.program()
    maker = _maker(request)
    return await request.write_program(
        program.id, body, lambda session: sources.change_source(session, program.id, source_id, body, maker)
    )


@router.post("/sources/{source_id}/secrets", status_code=201, response_model=NewSecret)
async def rotate_source_secret(source_id: UUID, body: SecretRotation, request: Writing) -> Response:
    """A new secret, shown this once. The present one stays valid for the grace time."""
    program = await request.program()
    maker = _maker(request)
    return await request.write_program(
        program.id, body, lambda session: sources.rotate_secret(session, program.id, source_id, body, maker), status=201
    )


@router.get("/settlement-assets")
async def list_settlement_assets(request: Reading) -> Page[SettlementAssetView]:
    """The tokens whose payments count, with what they are worth."""
    async with request.services.database.platform() as session:
        return Page(items=await assets.asset_views(session), next_cursor=None)


@router.put("/settlement-assets", response_model=SettlementAssetView)
async def set_settlement_asset(body: SettlementAssetInput, request: Writing) -> Response:
    """Have a token's payments count, or change what it is worth. For operators of the platform."""
    request.operator.require_platform()
    now = request.services.clock.now()
    return await request.write_platform(body, lambda session: assets.set_asset(session, body, now))


@router.post("/settlement-assets/presets/{network}", response_model=SettlementAssetView)
async def set_settlement_preset(network: NetworkPath, request: Writing) -> Response:
    """Have USDC count on a network that it is known for. For operators of the platform."""
    request.operator.require_platform()
    now = request.services.clock.now()
    return await request.write_platform(None, lambda session: assets.set_preset(session, network, now))


@router.delete("/settlement-assets/{network}/{address}", status_code=204, response_class=Response)
async def remove_settlement_asset(network: NetworkPath, address: AddressPath, request: Writing) -> Response:
    """Let a token's payments count no more; those that did stay. For operators of the platform."""
    request.operator.require_platform()
    now = request.services.clock.now()

    async def work(session: PlatformSession) -> None:
        await assets.remove_asset(session, network, address, now)

    return await request.write_platform(None, work)
