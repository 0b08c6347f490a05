"""Administration of programs, their domains and security keys. New programs, which come with rules: `earning/routes.py`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response

from guerdon.kit.api import CursorText, Limit, Page, decode_cursor, decode_id_cursor, page
from guerdon.programs import repository, security_keys, service
from guerdon.programs.dependencies import Reading, Writing
from guerdon.programs.schemas import (
    DomainView,
    NewDomain,
    NewSecurityKey,
    ProgramChange,
    ProgramView,
    Rotation,
    SecurityKeyView,
)
from guerdon.settings import Environment

router = APIRouter(prefix="/api/admin/programs", tags=["programs"])

ProgramPath = Annotated[str, Path(min_length=1, max_length=60, description="Brand id, or the program's own id.")]


@router.get("")
async def list_programs(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[ProgramView]:
    """Programs in the order in which they were made; the key of a program sees its own."""
    after = decode_id_cursor(cursor)
    own = await request.program_if_named()
    async with request.services.database.platform() as session:
        if own is not None:
            return Page(items=[await service.program_view(session, own)], next_cursor=None)
        rows, following = page(await repository.programs_after(session, after, limit + 1), limit, lambda row: row.id)
        return Page(items=await service.program_views(session, rows), next_cursor=following)


@router.get("/{program}")
async def show_program(program: ProgramPath, request: Reading) -> ProgramView:
    """One program."""
    found = await request.program(program)
    async with request.services.database.platform() as session:
        return await service.program_view(session, found)


@router.patch("/{program}", response_model=ProgramView)
async def change_program(program: ProgramPath, body: ProgramChange, request: Writing) -> Response:
    """Change what is said and keep the rest. `syntheticDomain` and `gasBudgetWei` take a key of the platform."""
    found = await request.program(program)
    development = request.services.settings.environment is Environment.DEVELOPMENT

    return await request.write_program(
        found.id,
        body,
        lambda session: service.changed_program_view(session, request.operator, found.id, body, development=development),
    )


@router.get("/{program}/domains")
async def list_domains(program: ProgramPath, request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[DomainView]:
    """The hosts from which the program's browsers report."""
    after = decode_cursor(cursor)
    found = await request.program(program)
    async with request.services.database.program(found.id) as session:
        domains = await repository.domains_after(session, found.id, after, limit + 1)
        rows, following = page(domains, limit, lambda row: row.domain)
        return Page(items=[DomainView.model_validate(row) for row in rows], next_cursor=following)


@router.post("/{program}/domains", status_code=201, response_model=ProgramView)
async def add_domain(program: ProgramPath, body: NewDomain, request: Writing) -> Response:
    """Register a host, exact or `*.host`; one that is there already stays."""
    found = await request.program(program)
    now = request.services.clock.now()
    development = request.services.settings.environment is Environment.DEVELOPMENT

    return await request.write_program(
        found.id,
        body,
        lambda session: service.add_domain_view(session, found.id, body.domain, now, development=development),
        status=201,
    )


@router.delete("/{program}/domains/{domain}", status_code=204, response_class=Response)
async def remove_domain(
    program: ProgramPath, domain: Annotated[str, Path(min_length=1, max_length=260)], request: Writing
) -> Response:
    """Take a host away: its browsers' reports are refused from then on."""
    found = await request.program(program)
    return await request.write_program(found.id, None, lambda session: service.remove_domain(session, found.id, domain))


@router.get("/{program}/keys")
async def list_security_keys(
    program: ProgramPath, request: Reading, limit: Limit = 50, cursor: CursorText = None
) -> Page[SecurityKeyView]:
    """Security keys that the program has or had, without their secrets."""
    after = decode_id_cursor(cursor)
    found = await request.program(program)
    async with request.services.database.program(found.id) as session:
        keys = await security_keys.security_keys_page(session, found.id, after, limit)
        rows, following = page(keys, limit, lambda row: row.id)
        return Page(items=rows, next_cursor=following)


@router.post("/{program}/keys", status_code=201, response_model=NewSecurityKey)
async def rotate_security_key(program: ProgramPath, body: Rotation, request: Writing) -> Response:
    """A new security key, shown this once. The present one stays valid for the grace time."""
    found = await request.program(program)
    now, ring = request.services.clock.now(), request.services.secrets
    return await request.write_program(
        found.id,
        body,
        lambda session: security_keys.rotate_security_key(session, ring, found.id, body, now),
        status=201,
    )


@router.delete("/{program}/keys/{key_id}", status_code=204, response_class=Response)
async def revoke_security_key(program: ProgramPath, key_id: UUID, request: Writing) -> Response:
    """End a security key at once."""
    found = await request.program(program)
    now = request.services.clock.now()
    return await request.write_program(
        found.id, None, lambda session: security_keys.revoke_security_key(session, found.id, key_id, now)
    )
