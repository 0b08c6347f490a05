"""Administration of alerts: the platform's operators see all, a program's its own."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, page
from guerdon.notices import service
from guerdon.notices.service import AlertView
from guerdon.programs.dependencies import Reading, Writing

router = APIRouter(prefix="/api/admin/alerts", tags=["alerts"])


@router.get("")
async def list_alerts(
    request: Reading,
    resolved: Annotated[bool, Query(description="Those that are closed too.")] = False,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[AlertView]:
    """What needs an operator's eye, oldest first."""
    after = decode_id_cursor(cursor)
    program = await request.program_if_named()
    async with request.services.database.platform() as session:
        program_id = None if program is None else program.id
        alerts = await service.alerts_page(session, after, limit, program_id=program_id, resolved=resolved)
        rows, following = page(alerts, limit, lambda row: row.id)
        return Page(items=rows, next_cursor=following)


@router.post("/{alert_id}/resolve", response_model=AlertView)
async def resolve_alert(alert_id: UUID, request: Writing) -> Response:
    """Close an alert; it opens anew when its cause is seen again."""
    program = await request.program_if_named()
    if program is None:
        return await request.write_platform(None, lambda session: service.resolve_alert(session, alert_id, program_id=None))
    return await request.write_program(
        program.id, None, lambda session: service.resolve_alert(session, alert_id, program_id=program.id)
    )
