"""Drops over HTTP: operators make them, members see theirs, and anyone gets the proof for an address."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from guerdon.accounts.dependencies import Member, RunningServices, client_of
from guerdon.kit.api import CursorText, Limit, Page, SnakePage, decode_id_cursor, page
from guerdon.kit.database import PlatformSession, transaction_time
from guerdon.kit.ratelimit import Rate
from guerdon.ledger.repository import asset_by_symbol
from guerdon.payouts import drops
from guerdon.payouts import repository_drops as repository
from guerdon.payouts import routes as payouts
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.drops import NewDrop, Proof
from guerdon.payouts.errors_drops import DropNotFoundError, DropNotPossibleError, DropProofNotFoundError
from guerdon.payouts.schemas_drops import (
    DropCancel,
    DropProofView,
    DropView,
    MemberDropView,
    NewDropBody,
    drop_view,
    member_drop_view,
    proof_view,
)
from guerdon.programs.dependencies import Reading, Writing
from guerdon.programs.models import Program

router = APIRouter(prefix="/api/admin/drops", tags=["drops"])
members = APIRouter(prefix="/api/rewards/drops", tags=["drops"])
routers = (payouts.router, router)
"""Of operators: payouts first."""

AddressPath = Annotated[str, Path(pattern=r"^0x[0-9a-fA-F]{40}$", description="The address that is paid.")]


@router.post("", status_code=202, response_model=DropView)
async def create_drop(body: NewDropBody, request: Writing) -> Response:
    """Make a drop: points are held, a root is published and funded. For operators of the platform (SAFETY S3)."""
    request.operator.require_platform()
    program = await request.program()

    async def work(session: PlatformSession) -> DropView:
        asked = NewDrop(
            program_id=program.id,
            asset_id=await _asset(session, program, body.asset),
            opens_at=body.opens_at or await transaction_time(session),
            closes_at=body.closes_at,
            minimum_points=body.minimum_points,
            accounts=None if body.accounts is None else [(one.account_id, one.points) for one in body.accounts],
            season_id=body.season_id,
            network=body.network,
        )
        made = await drops.create(session, asked)
        return await _view(session, program.id, made.id)

    return await request.write_platform(body, work, status=202, program_id=program.id)


@router.get("")
async def list_drops(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[DropView]:
    """Drops of a program, newest first."""
    after = decode_id_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        found = await repository.drops_after(session, program.id, after, limit + 1)
    rows, following = page(found, limit, lambda row: row[0].id)
    return Page(items=[drop_view(*row) for row in rows], next_cursor=following)


@router.get("/{drop_id}")
async def show_drop(drop_id: UUID, request: Reading) -> DropView:
    """One drop."""
    program = await request.program()
    async with request.services.database.platform() as session:
        return await _view(session, program.id, drop_id)


@router.post("/{drop_id}/cancel", response_model=DropView)
async def cancel_drop(drop_id: UUID, request: Writing, running: RunningServices, body: DropCancel | None = None) -> DropView:
    """Give up a drop that is not on chain and can't land there; its points go back. For operators of the platform.

    Asked again it answers the same, with or without an `Idempotency-Key`.
    """
    request.operator.require_platform()
    program = await request.program()
    reason = (body or DropCancel()).reason
    await drops.cancel(PayoutDeps(running.database, running.chain), program.id, drop_id, reason)
    async with request.services.database.platform() as session:
        return await _view(session, program.id, drop_id)


@members.get("")
async def list_rewards_drops(request: Member, limit: Limit = 50, cursor: CursorText = None) -> SnakePage[MemberDropView]:
    """Your points in drops, newest first. What waits is claimed on chain by the proof for its address."""
    after = decode_id_cursor(cursor)
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        found = await repository.leaves_of_account(session, program.id, account.id, after, limit + 1)
    rows, following = page(found, limit, lambda row: row.drop_id)
    return SnakePage(items=[member_drop_view(row) for row in rows], next_cursor=following)


@members.get("/{season_id}/proof")
async def show_own_drop_proof(season_id: UUID, request: Member) -> SnakePage[DropProofView]:
    """The proofs for your account's addresses in a season; more than one if you changed where you are paid."""
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        rows = await repository.leaves_of_account(session, program.id, account.id, None, 1_000)
        places = dict.fromkeys(row.address for row in rows if row.season_id == season_id)
        found: list[Proof] = []
        for address in places:
            # An address of a root that is not on chain, or was given up, has none; the others can be claimed all the same.
            with suppress(DropProofNotFoundError):
                found.append(await drops.proof(session, program.id, season_id, address))
        if not found:
            raise DropProofNotFoundError
        now = await transaction_time(session)
    return SnakePage(items=[proof_view(one, now) for one in found], next_cursor=None)


@members.get("/{season_id}/proofs/{address}")
async def show_drop_proof(season_id: UUID, address: AddressPath, request: Request, running: RunningServices) -> DropProofView:
    """What an address may claim of a season, with the transaction that claims it. For everybody: only the address is paid."""
    rate = Rate(running.settings.rate_limit_members_a_minute, 60)
    (await running.limiter.hit("drop-proofs", client_of(request, running), rate)).require()
    async with running.database.platform() as session:
        program_id = await repository.program_of_season(session, season_id)
    if program_id is None:
        raise DropNotFoundError
    async with running.database.program(program_id) as session:
        return proof_view(await drops.proof(session, program_id, season_id, address), await transaction_time(session))


async def _asset(session: PlatformSession, program: Program, symbol: str | None) -> UUID:
    if symbol is None:
        return program.asset_id
    asset = await asset_by_symbol(session, symbol)
    if asset is None:
        raise DropNotPossibleError
    return asset.id


async def _view(session: PlatformSession, program_id: UUID, drop_id: UUID) -> DropView:
    drop = await repository.drop(session, program_id, drop_id)
    season = None if drop is None else await repository.season(session, program_id, drop.season_id)
    if drop is None or season is None:
        raise DropNotFoundError
    return drop_view(drop, season)
