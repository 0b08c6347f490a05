"""A member's points: `/api/rewards/balance` and `/api/rewards/history`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from guerdon.accounts.dependencies import Member
from guerdon.earning import members, repository_members
from guerdon.earning.schemas_members import AccrualView, BalanceView
from guerdon.kit.api import CursorText, Limit, Line, SnakePage, decode_id_cursor, page

router = APIRouter(prefix="/api/rewards", tags=["members"])

AssetSymbol = Annotated[
    Line | None, Query(min_length=1, max_length=40, description="Of which asset; what settled volume earns, if left out.")
]


@router.get("/balance")
async def show_rewards_balance(request: Member, asset: AssetSymbol = None) -> BalanceView:
    """Your points: earned, claimed, available, held; your tier, and what is missing to the next."""
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        return await members.balance_view(session, program, account.id, asset, request.services.clock.now())


@router.get("/history")
async def list_rewards_history(request: Member, limit: Limit = 50, cursor: CursorText = None) -> SnakePage[AccrualView]:
    """What you earned, the newest first, with the reasons."""
    before = decode_id_cursor(cursor)
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        found = await repository_members.accruals_before(session, program.id, account.id, before, limit + 1)
        rows, following = page(found, limit, lambda row: row.id)
        return SnakePage(items=await members.accrual_views(session, rows), next_cursor=following)
