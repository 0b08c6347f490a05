"""Administration of events: what came and why it earned what it did. A program sees its own."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from guerdon.activity import history
from guerdon.activity.history import EventView
from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, encode_cursor
from guerdon.programs.dependencies import Reading

router = APIRouter(prefix="/api/admin/events", tags=["events"])


@router.get("")
async def list_events(
    request: Reading,
    event_type: Annotated[str | None, Query(alias="eventType", pattern=r"^[A-Za-z0-9_]{1,50}$")] = None,
    user: Annotated[str | None, Query(max_length=254, description="Email, or `platform:id`.")] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[EventView]:
    """Events of a program, newest first. With a filter a page may have few or none of them and still a `nextCursor`: go on."""
    before = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        events, following = await history.events_page(session, before, limit, event_type=event_type, user=user)
    return Page(items=events, next_cursor=None if following is None else encode_cursor(str(following)))


@router.get("/{event_id}")
async def show_event(event_id: UUID, request: Reading) -> EventView:
    """One event."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        return await history.event_of(session, event_id)
