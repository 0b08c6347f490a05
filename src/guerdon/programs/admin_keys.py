"""Use cases of admin keys: making, listing, revoking. What a key may do is `administration.py`. Nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from guerdon.kit.database import PlatformSession
from guerdon.kit.ids import uuid7
from guerdon.programs import repository, repository_admin_keys
from guerdon.programs.administration import new_token, program_named
from guerdon.programs.errors import AdminKeyNotFoundError
from guerdon.programs.models import AdminKey, AdminRole
from guerdon.programs.schemas import AdminKeyCreated, AdminKeyView, NewAdminKey


async def create_admin_key(session: PlatformSession, new: NewAdminKey, now: datetime) -> AdminKeyCreated:
    """Make a key; its token is in the answer and nowhere else. Raises `ProgramNotFoundError`."""
    program = None if new.brand_id is None else await program_named(session, new.brand_id)
    token = new_token(uuid7())
    key = await repository_admin_keys.insert_admin_key(
        session,
        {
            "id": token.key_id,
            "secret_hash": token.secret_hash,
            "role": new.role.value,
            "program_id": None if program is None else program.id,
            "name": new.name,
            "created_at": now,
        },
    )
    shown = _view(key, None if program is None else program.brand_id)
    return AdminKeyCreated(**shown.model_dump(), token=token.token)


async def first_platform_key(session: PlatformSession, now: datetime) -> str | None:
    """The token of a new platform key if there is none in force: what `guerdon up` prints once."""
    if await repository_admin_keys.has_platform_key(session):
        return None
    created = await create_admin_key(session, NewAdminKey(name="first", role=AdminRole.PLATFORM), now)
    return created.token


async def admin_keys_page(
    session: PlatformSession, after: UUID | None, limit: int, brand_id: str | None = None
) -> list[AdminKeyView]:
    """Keys in the order in which they were made, one more than `limit` if there are more."""
    program_id = None if brand_id is None else (await program_named(session, brand_id)).id
    keys = await repository_admin_keys.admin_keys_after(session, after, limit + 1, program_id)
    return await _views(session, keys)


async def revoke_admin_key(session: PlatformSession, key_id: UUID, now: datetime) -> AdminKeyView:
    """End a key at once. Raises `AdminKeyNotFoundError`."""
    key = await repository_admin_keys.revoke_admin_key(session, key_id, now)
    if key is None:
        raise AdminKeyNotFoundError
    return (await _views(session, [key]))[0]


async def _views(session: PlatformSession, keys: Sequence[AdminKey]) -> list[AdminKeyView]:
    brand_ids = await repository.brand_ids(session, {key.program_id for key in keys if key.program_id is not None})
    return [_view(key, None if key.program_id is None else brand_ids[key.program_id]) for key in keys]


def _view(key: AdminKey, brand_id: str | None) -> AdminKeyView:
    return AdminKeyView(
        id=key.id,
        name=key.name,
        role=AdminRole(key.role).value,
        brand_id=brand_id,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )
