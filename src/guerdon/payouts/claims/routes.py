"""Claims of members: `/api/rewards/claims`."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from guerdon.accounts.dependencies import Member, WritingMember
from guerdon.kit.api import CursorText, Limit, SnakePage, decode_id_cursor, page
from guerdon.kit.database import ProgramSession
from guerdon.kit.ratelimit import Rate
from guerdon.payouts.claims import repository, service
from guerdon.payouts.claims.errors import ClaimNotFoundError
from guerdon.payouts.claims.schemas import ClaimView, NewClaim, OfferedOptions, claim_view, offered_option
from guerdon.payouts.claims.service import ClaimRequest

router = APIRouter(prefix="/api/rewards", tags=["claims"])

_CLAIMS = Rate(30, 60)
"""Of one member, whatever becomes of them."""


@router.get("/payout-options")
async def list_rewards_payout_options(request: Member) -> OfferedOptions:
    """What the program's points can be claimed in, and at which rate now: a campaign's while it is active, else the usual."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        return OfferedOptions(options=[offered_option(one) for one in await service.offers(session, program)])


@router.post("/claims", status_code=202, response_model=ClaimView)
async def create_claim(body: NewClaim, request: WritingMember) -> Response:
    """Turn points into tokens. The points are held and the tokens fixed at once; they are sent by themselves."""
    program, account = await request.account()
    await request.slow("claims", _CLAIMS)
    wanted = ClaimRequest(body.points_claimed, body.destination_address, body.network, body.token_mint)

    async def work(session: ProgramSession) -> ClaimView:
        return claim_view(*await service.request_claim(session, program, account.id, wanted))

    return await request.write(program, body, work, status=202)


@router.get("/claims")
async def list_claims(request: Member, limit: Limit = 50, cursor: CursorText = None) -> SnakePage[ClaimView]:
    """Your claims, newest first."""
    after = decode_id_cursor(cursor)
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        found = await repository.claims_of(session, program.id, account.id, after, limit + 1)
        rows, following = page(found, limit, lambda row: row[0].id)
        return SnakePage(items=[claim_view(*row) for row in rows], next_cursor=following)


@router.get("/claims/{claim_id}")
async def show_own_claim(claim_id: UUID, request: Member) -> ClaimView:
    """One of your claims."""
    program = await request.program()
    own = {account.id for account in await request.accounts(program)}
    async with request.services.database.program(program.id) as session:
        found = await repository.claim(session, program.id, claim_id)
    # Another's claim is none that there is.
    if found is None or found[0].account_id not in own:
        raise ClaimNotFoundError
    return claim_view(*found)
