"""Administration of payouts: what became of them. A program sees its own; remedies are the operator's (`remedies.py`)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, page
from guerdon.ledger.models import DeliveryState
from guerdon.payouts import repository_read as repository
from guerdon.payouts.errors import PayoutNotFoundError
from guerdon.payouts.schemas import PayoutStory, PayoutView, payout_story, payout_view
from guerdon.programs.dependencies import Reading

router = APIRouter(prefix="/api/admin/payouts", tags=["payouts"])


@router.get("")
async def list_payouts(
    request: Reading,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    account_id: Annotated[UUID | None, Query(alias="accountId", description="Only those of this account.")] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[PayoutView]:
    """Payouts of a program, newest first."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository.payouts(session, program.id, state=state, account_id=account_id, after=after, limit=limit + 1)
        rows, following = page(found, limit, lambda row: row.id)
        return Page(items=[payout_view(row) for row in rows], next_cursor=following)


@router.get("/{payout_id}")
async def show_payout(payout_id: UUID, request: Reading) -> PayoutStory:
    """One payout, with every batch that it was in."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        delivery = await repository.payout(session, program.id, payout_id)
        if delivery is None:
            raise PayoutNotFoundError
        return payout_story(delivery, list(await repository.batches_of_payout(session, program.id, payout_id)))
