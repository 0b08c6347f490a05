"""Administration of payout options: in which tokens points are claimed, at which rate (SAFETY S3: the platform operator's)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from guerdon.kit.api import Page
from guerdon.kit.database import PlatformSession
from guerdon.programs.dependencies import Reading, Writing, funding_deps
from guerdon.programs.service import asset_of
from guerdon.txmanager import options, repository_options, service_keys
from guerdon.txmanager.schemas_options import PayoutOptionInput, PayoutOptionView, option_view

router = APIRouter(prefix="/api/admin/payout-options", tags=["platform"])

AssetPath = Annotated[str, Path(min_length=1, max_length=60, description="The asset's symbol.")]
NetworkPath = Annotated[str, Path(min_length=1, max_length=60, description="The network's name.")]


@router.get("")
async def list_payout_options(
    request: Reading, asset: Annotated[str | None, Query(max_length=60, description="Only those of this asset.")] = None
) -> Page[PayoutOptionView]:
    """What points are paid in."""
    async with request.services.database.platform() as session:
        asset_id = None if asset is None else (await asset_of(session, asset)).id
        rows = await repository_options.options(session, asset_id)
    return Page(items=[option_view(*row) for row in rows], next_cursor=None)


@router.put("/{asset}/{network}", response_model=PayoutOptionView)
async def set_payout_option(asset: AssetPath, network: NetworkPath, body: PayoutOptionInput, request: Writing) -> Response:
    """Offer a token for an asset's points on a network, or change how. Claims that were made keep what they fixed."""
    request.operator.require_platform()
    async with request.services.database.platform() as session:
        known = await service_keys.network(session, network)
    decimals = await options.decimals_on_chain(funding_deps(request).chain, known, body.token_address, body.token_decimals)
    now = request.services.clock.now()

    async def work(session: PlatformSession) -> PayoutOptionView:
        found = await asset_of(session, asset)
        return option_view(await options.set_option(session, found, body.option(network), decimals, now), found)

    return await request.write_platform(body, work)
