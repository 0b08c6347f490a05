"""Administration of campaigns and of what settled volume earns; and what members may know of campaigns."""

from __future__ import annotations

from typing import Protocol, cast
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from guerdon.earning import service_campaigns as service
from guerdon.earning import service_simulation, service_volume
from guerdon.earning.schemas_campaigns import (
    CampaignFields,
    CampaignView,
    NewCampaign,
    NewSimulation,
    SimulationRequest,
    SimulationView,
)
from guerdon.earning.schemas_volume import VolumeTermsFields, VolumeTermsView
from guerdon.earning.simulation import SettledHistory
from guerdon.kit.api import CursorText, Limit, SnakePage, decode_id_cursor, page
from guerdon.programs.dependencies import Reading, Writing


class Historical(Protocol):
    """What a simulation uses of the running application besides."""

    def settled_history(self) -> SettledHistory:
        """Reads what was settled."""
        ...


router = APIRouter(prefix="/api/admin/rewards", tags=["campaigns"])


@router.get("/campaigns")
async def list_campaigns(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> SnakePage[CampaignView]:
    """The program's campaigns as they were made, with what they have cost."""
    after, now = decode_id_cursor(cursor), request.services.clock.now()
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        rows, following = page(await service.campaigns_page(session, after, limit, now), limit, lambda row: row.id)
        return SnakePage(items=rows, next_cursor=following)


@router.post("/campaigns", status_code=201, response_model=CampaignView)
async def add_campaign(body: NewCampaign, request: Writing) -> Response:
    """A new campaign: a draft that counts for nothing, unless `active` is true."""
    program, now = await request.program(body.brand_id), request.services.clock.now()
    return await request.write_with_rights(program.id, body, lambda session: service.add_campaign(session, body, now), status=201)


@router.get("/campaigns/{campaign_id}")
async def show_campaign(campaign_id: UUID, request: Reading) -> CampaignView:
    """One campaign."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        return await service.campaign_of(session, campaign_id, request.services.clock.now())


@router.put("/campaigns/{campaign_id}", response_model=CampaignView)
async def put_campaign(campaign_id: UUID, body: CampaignFields, request: Writing) -> Response:
    """Change what is said and keep the rest. A published campaign has a new version from now on; what was earned stays."""
    program, now = await request.program(body.brand_id), request.services.clock.now()
    return await request.write_with_rights(
        program.id, body, lambda session: service.put_campaign(session, campaign_id, body, now)
    )


@router.delete("/campaigns/{campaign_id}", status_code=204, response_class=Response)
async def delete_campaign(campaign_id: UUID, request: Writing) -> Response:
    """Remove a draft; what was published is ended instead."""
    program = await request.program()
    return await request.write_program(program.id, None, lambda session: service.delete_campaign(session, campaign_id))


@router.post("/campaigns/{campaign_id}/publish", response_model=CampaignView)
async def publish_campaign(campaign_id: UUID, request: Writing) -> Response:
    """Let a draft count for what is settled from now on, within its dates."""
    program, now = await request.program(), request.services.clock.now()
    return await request.write_with_rights(program.id, None, lambda session: service.publish(session, campaign_id, now))


@router.post("/campaigns/{campaign_id}/pause", response_model=CampaignView)
async def pause_campaign(campaign_id: UUID, request: Writing) -> Response:
    """Let it count for nothing that is settled from now on."""
    program, now = await request.program(), request.services.clock.now()
    return await request.write_program(program.id, None, lambda session: service.pause(session, campaign_id, now))


@router.post("/campaigns/{campaign_id}/resume", response_model=CampaignView)
async def resume_campaign(campaign_id: UUID, request: Writing) -> Response:
    """Let a paused campaign count again from now on."""
    program, now = await request.program(), request.services.clock.now()
    return await request.write_with_rights(program.id, None, lambda session: service.resume(session, campaign_id, now))


@router.post("/campaigns/{campaign_id}/end", response_model=CampaignView)
async def end_campaign(campaign_id: UUID, request: Writing) -> Response:
    """End it before its time; a pool is shared out."""
    program, now = await request.program(), request.services.clock.now()
    return await request.write_program(program.id, None, lambda session: service.end(session, campaign_id, now))


@router.post("/campaigns/simulate")
async def simulate_new_campaign(body: NewSimulation, request: Reading) -> SimulationView:
    """What a campaign would have cost and whom it would have paid, over past data. Writes nothing."""
    program, running = await request.program(body.brand_id), request.services
    history, now = cast("Historical", running).settled_history(), running.clock.now()
    async with running.database.program(program.id) as session:
        return await service_simulation.simulate_new(
            session, body.campaign, body, history, now, service_simulation.MOST_IN_A_REQUEST
        )


@router.post("/campaigns/{campaign_id}/simulate")
async def simulate_campaign(campaign_id: UUID, request: Reading, body: SimulationRequest | None = None) -> SimulationView:
    """The same for a campaign that is there, in whatever state. Writes nothing."""
    program, running = await request.program(), request.services
    history, now = cast("Historical", running).settled_history(), running.clock.now()
    async with running.database.program(program.id) as session:
        return await service_simulation.simulate_known(
            session, campaign_id, body or SimulationRequest(), history, now, service_simulation.MOST_IN_A_REQUEST
        )


@router.get("/volume")
async def show_volume_terms(request: Reading) -> VolumeTermsView:
    """What settled volume earns: rate, tiers, holding time, caps and expiry."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        return await service_volume.volume_terms(session)


@router.put("/volume", response_model=VolumeTermsView)
async def put_volume_terms(body: VolumeTermsFields, request: Writing) -> Response:
    """Change what is said and keep the rest, for what is booked from now on."""
    program, now = await request.program(body.brand_id), request.services.clock.now()
    return await request.write_program(program.id, body, lambda session: service_volume.put_volume_terms(session, body, now))
