"""What members see of campaigns: `/api/rewards/campaigns`."""

from __future__ import annotations

from fastapi import APIRouter

from guerdon.accounts.dependencies import Member
from guerdon.earning import service_campaigns as service
from guerdon.earning.schemas_campaigns import CampaignFacts
from guerdon.kit.api import CursorText, Limit, SnakePage, decode_id_cursor, page

router = APIRouter(prefix="/api/rewards", tags=["members"])


@router.get("/campaigns")
async def list_public_campaigns(request: Member, limit: Limit = 50, cursor: CursorText = None) -> SnakePage[CampaignFacts]:
    """The program's campaigns that are published and not over; `active` tells whether one counts now."""
    after, now = decode_id_cursor(cursor), request.services.clock.now()
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        rows, following = page(await service.public_page(session, after, limit, now), limit, lambda row: row.id)
        return SnakePage(items=rows, next_cursor=following)
