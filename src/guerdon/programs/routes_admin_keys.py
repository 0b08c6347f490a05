"""Administration of admin keys; for operators of the platform only (SAFETY S3)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, page
from guerdon.programs import admin_keys
from guerdon.programs.dependencies import Reading, Writing
from guerdon.programs.schemas import AdminKeyCreated, AdminKeyView, NewAdminKey

router = APIRouter(prefix="/api/admin/admin-keys", tags=["admin keys"])


@router.get("")
async def list_admin_keys(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[AdminKeyView]:
    """Admin keys without their tokens; of one program where `brandId` names it."""
    request.operator.require_platform()
    program = await request.program_if_named()
    async with request.services.database.platform() as session:
        brand_id = None if program is None else program.brand_id
        keys = await admin_keys.admin_keys_page(session, decode_id_cursor(cursor), limit, brand_id)
        rows, following = page(keys, limit, lambda row: row.id)
        return Page(items=rows, next_cursor=following)


@router.post("", status_code=201, response_model=AdminKeyCreated)
async def create_admin_key(body: NewAdminKey, request: Writing) -> Response:
    """A new admin key; its token is shown this once."""
    request.operator.require_platform()
    now = request.services.clock.now()
    return await request.write_platform(body, lambda session: admin_keys.create_admin_key(session, body, now), status=201)


@router.delete("/{key_id}", response_model=AdminKeyView)
async def revoke_admin_key(key_id: UUID, request: Writing) -> Response:
    """End an admin key at once."""
    request.operator.require_platform()
    now = request.services.clock.now()
    return await request.write_platform(None, lambda session: admin_keys.revoke_admin_key(session, key_id, now))
