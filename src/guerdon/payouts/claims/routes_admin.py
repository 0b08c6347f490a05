"""Administration of claims: a program sees its own, and says of those that wait for a review what becomes of them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from guerdon.kit.api import CursorText, Limit, Page, decode_id_cursor, page
from guerdon.kit.database import ProgramSession
from guerdon.ledger.models import DeliveryState
from guerdon.payouts.claims import repository, review
from guerdon.payouts.claims.errors import ClaimNotFoundError
from guerdon.payouts.claims.review import Verdict
from guerdon.payouts.claims.schemas import AdminClaimView, ReviewInput, admin_claim_view
from guerdon.programs.dependencies import Reading, Writing

router = APIRouter(prefix="/api/admin/claims", tags=["claims"])


@router.get("")
async def list_all_claims(
    request: Reading,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state, such as `in_review`.")] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[AdminClaimView]:
    """Claims of a program, newest first."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository.claims_after(session, program.id, state, after, limit + 1)
        rows, following = page(found, limit, lambda row: row[0].id)
        return Page(items=[admin_claim_view(*row) for row in rows], next_cursor=following)


@router.get("/{claim_id}")
async def show_claim(claim_id: UUID, request: Reading) -> AdminClaimView:
    """One claim. Its batches are in `/api/admin/payouts/{id}`, under the same id."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository.claim(session, program.id, claim_id)
    if found is None:
        raise ClaimNotFoundError
    return admin_claim_view(*found)


@router.post("/{claim_id}/approve", response_model=AdminClaimView)
async def approve_claim(claim_id: UUID, body: ReviewInput, request: Writing) -> Response:
    """Let a claim that waits for a review go on."""
    return await _reviewed(request, claim_id, body, approved=True)


@router.post("/{claim_id}/refuse", response_model=AdminClaimView)
async def refuse_claim(claim_id: UUID, body: ReviewInput, request: Writing) -> Response:
    """Refuse a claim that waits for a review; its points are the account's again."""
    return await _reviewed(request, claim_id, body, approved=False)


async def _reviewed(request: Writing, claim_id: UUID, body: ReviewInput, *, approved: bool) -> Response:
    program = await request.program()
    verdict = Verdict(approved, body.reason, f"admin key {request.operator.key_id}")

    async def work(session: ProgramSession) -> AdminClaimView:
        return admin_claim_view(*await review.review(session, program.id, claim_id, verdict))

    return await request.write_program(program.id, body, work)
