"""Administration of proven payments: what there is, what was flagged, what an operator says of it, and whom nobody deals with."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from guerdon.accounts import denials
from guerdon.activity.settlements import repository_flags, repository_settlements, reviews
from guerdon.activity.settlements.abuse import Thresholds
from guerdon.activity.settlements.names import address_on, namespace_of_address
from guerdon.activity.settlements.reviews import Word
from guerdon.activity.settlements.routes_sources import AddressPath
from guerdon.activity.settlements.schemas import (
    AddressText,
    DeniedAddressInput,
    DeniedAddressView,
    FlagView,
    Review,
    SettlementView,
    ThresholdsInput,
)
from guerdon.kit.api import CursorText, Limit, Page, Wire, decode_cursor, decode_id_cursor, page
from guerdon.kit.database import ProgramSession
from guerdon.programs.dependencies import Reading, Writing

router = APIRouter(prefix="/api/admin", tags=["settlements"])

AddressQuery = Annotated[str | None, Query(min_length=32, max_length=44, description="Payer or payee.")]
HashQuery = Annotated[str | None, Query(min_length=64, max_length=88, pattern="^[0-9A-Za-z]+$")]


class PayerReview(Review):
    """A word on all payments of a payer that wait, 200 at a time."""

    payer: AddressText
    verdict: Literal["approved", "rejected"]


class Reviewed(Wire):
    """The payments that were decided about."""

    settlement_ids: Annotated[list[UUID], Field(description="None: there is nothing more that waits.")]


@router.get("/settlements")
async def list_settlements(
    request: Reading,
    address: AddressQuery = None,
    account_id: Annotated[UUID | None, Query(alias="accountId")] = None,
    transaction: HashQuery = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[SettlementView]:
    """Proven payments, with whom they were credited to or why nobody was."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    namespace = None if address is None else namespace_of_address(address)
    stored = address if namespace is None else address_on(namespace, address)
    hashed = transaction.lower() if transaction is not None and transaction.startswith("0x") else transaction
    async with request.services.database.program(program.id) as session:
        found = await repository_settlements.settlements_after(
            session, program.id, after, limit + 1, address=stored, account_id=account_id, transaction_hash=hashed
        )
        rows, following = page(found, limit, lambda row: row.id)
        return Page(items=[SettlementView.model_validate(row) for row in rows], next_cursor=following)


@router.get("/settlement-flags")
async def list_settlement_flags(
    request: Reading,
    open_only: Annotated[bool, Query(alias="open")] = True,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[FlagView]:
    """Payments that look as if they were made for their points, with the evidence."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository_flags.flags_after(session, program.id, after, limit + 1, open_only=open_only)
        rows, following = page(found, limit, lambda row: row.id)
        return Page(items=[FlagView.model_validate(row) for row in rows], next_cursor=following)


@router.post("/settlement-flags/{flag_id}/approve", response_model=Reviewed)
async def approve_settlement(flag_id: UUID, body: Review, request: Writing) -> Response:
    """Let a payment's points go on as if nobody had asked."""
    return await _decide(flag_id, body, request, approves=True)


@router.post("/settlement-flags/{flag_id}/reject", response_model=Reviewed)
async def reject_settlement(flag_id: UUID, body: Review, request: Writing) -> Response:
    """Take back what a payment earned."""
    return await _decide(flag_id, body, request, approves=False)


@router.post("/settlement-reviews", response_model=Reviewed)
async def review_payer(body: PayerReview, request: Writing) -> Response:
    """Approve or reject all payments of a payer that wait."""
    program = await request.program()
    word = _word(request, body, approves=body.verdict == reviews.APPROVED)

    async def work(session: ProgramSession) -> Reviewed:
        return Reviewed(settlement_ids=await reviews.decide_payer(session, program.id, body.payer, word))

    return await request.write_program(program.id, body, work)


@router.get("/settlement-thresholds")
async def show_thresholds(request: Reading) -> ThresholdsInput:
    """From when on payments are flagged."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        stored = await repository_flags.thresholds_of(session, program.id)
        return ThresholdsInput.model_validate(Thresholds.of(stored), from_attributes=True)


@router.put("/settlement-thresholds", response_model=ThresholdsInput)
async def set_thresholds(body: ThresholdsInput, request: Writing) -> Response:
    """Say from when on payments are flagged; what is left out is the default."""
    program = await request.program()
    now = request.services.clock.now()

    async def work(session: ProgramSession) -> ThresholdsInput:
        await repository_flags.set_thresholds(session, program.id, body.model_dump(exclude_unset=True), now)
        return body

    return await request.write_program(program.id, body, work)


@router.get("/denied-addresses")
async def list_denied_addresses(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[DeniedAddressView]:
    """Addresses that earn nothing and are paid nothing."""
    after = decode_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await denials.denials_after(session, program.id, after, limit + 1)
        rows, following = page(found, limit, lambda row: row.address)
        return Page(items=[DeniedAddressView.model_validate(row) for row in rows], next_cursor=following)


@router.post("/denied-addresses", status_code=201, response_model=DeniedAddressView)
async def deny_address(body: DeniedAddressInput, request: Writing) -> Response:
    """From now on an address earns nothing and is paid nothing; what it earned stays."""
    program = await request.program()
    now = request.services.clock.now()

    async def work(session: ProgramSession) -> DeniedAddressView:
        made = await denials.deny(session, program.id, body.address, body.reason, now)
        return DeniedAddressView.model_validate(made)

    return await request.write_program(program.id, body, work, status=201)


@router.delete("/denied-addresses/{address}", status_code=204, response_class=Response)
async def allow_address(address: AddressPath, request: Writing) -> Response:
    """Deal with an address again."""
    program = await request.program()

    async def work(session: ProgramSession) -> None:
        await denials.allow(session, program.id, address)

    return await request.write_program(program.id, None, work)


async def _decide(flag_id: UUID, body: Review, request: Writing, *, approves: bool) -> Response:
    program = await request.program()
    word = _word(request, body, approves=approves)

    async def work(session: ProgramSession) -> Reviewed:
        return Reviewed(settlement_ids=await reviews.decide_flag(session, program.id, flag_id, word))

    return await request.write_program(program.id, body, work)


def _word(request: Writing, body: Review, *, approves: bool) -> Word:
    return Word(approves, f"key {request.operator.key_id}", body.note, request.services.clock.now())
