"""Operators and addresses: those that can't sign are approved here."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from guerdon.accounts import registry, repository_addresses, views
from guerdon.accounts.schemas import Approval, OperatorAddressView
from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, page
from guerdon.kit.database import ProgramSession
from guerdon.programs.dependencies import Reading, Writing

router = APIRouter(prefix="/api/admin/addresses", tags=["members"])


@router.get("")
async def list_member_addresses(
    request: Reading,
    limit: Limit = 50,
    cursor: CursorText = None,
    unproven: Annotated[bool, Query(description="Only those that wait for a proof.")] = False,
) -> Page[OperatorAddressView]:
    """The addresses of the program's accounts."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository_addresses.addresses_of_program(session, program.id, after, limit + 1, unproven=unproven)
    rows, following = page(found, limit, lambda row: row.id)
    return Page(items=[views.operator_view(row) for row in rows], next_cursor=following)


@router.post("/{address_id}/approve", response_model=OperatorAddressView)
async def approve_address(
    address_id: Annotated[UUID, Path(description="As the list has it.")], body: Approval, request: Writing
) -> Response:
    """Say that an address which can't sign is its account's. It waits like any other (SAFETY S5); who said so is kept."""
    program = await request.program()
    operator = str(request.operator.key_id)

    async def work(session: ProgramSession) -> OperatorAddressView:
        row = await registry.approve(
            session, program, address_id, operator, body.reason, all_chains=body.all_chains, move=body.move
        )
        return views.operator_view(row)

    return await request.write_program(program.id, body, work)
