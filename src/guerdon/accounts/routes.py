"""A member's accounts in programs and their addresses: `/api/rewards/account`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response

from guerdon.accounts import challenges, membership, origins, registry, repository_addresses, repository_members, views
from guerdon.accounts.dependencies import Member, MemberRequest, WritingMember
from guerdon.accounts.errors import AccountNotFoundError, AddressNotFoundError, WalletSignatureError
from guerdon.accounts.models import Account, Address
from guerdon.accounts.schemas import AccountView, AddressProof, AddressToProve, AddressView, NewAccount, NewAddress
from guerdon.kit.api import CursorText, Limit, SnakePage, decode_id_cursor, page
from guerdon.kit.database import PlatformSession, ProgramSession, ScopedSession, program_scope
from guerdon.kit.ratelimit import Rate
from guerdon.programs.models import Program

router = APIRouter(prefix="/api/rewards", tags=["members"])

AddressPath = Annotated[UUID, Path(description="The address's id.")]
_PROOFS = Rate(20, 60)
"""Of one member: each may ask a chain."""


@router.post("/account", status_code=201, response_model=AccountView, responses={200: {"model": AccountView}})
async def create_rewards_account(request: WritingMember, body: NewAccount | None = None) -> Response:
    """Your account in the program; made if you have none (201). One that your wallet leads to already becomes yours (200)."""
    program = await request.program(None if body is None else body.brand_id)
    running = request.services

    async def work(session: PlatformSession) -> tuple[AccountView, int]:
        account, is_new = await membership.open_account(session, running.secrets, running.wallets, program, request.user_id)
        async with program_scope(session, program.id):
            return await _account_view(request, session, program, account), 201 if is_new else 200

    return await request.write_platform(program.id, body, work)


@router.get("/account")
async def show_rewards_account(request: Member) -> AccountView:
    """Your account in the program."""
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        return await _account_view(request, session, program, account)


@router.get("/accounts")
async def list_rewards_accounts(request: Member) -> SnakePage[AccountView]:
    """All of your accounts in the program: one for each identity that led to one before you signed in with it."""
    program = await request.program()
    accounts = await request.accounts(program)
    async with request.services.database.program(program.id) as session:
        items = [await _account_view(request, session, program, account) for account in accounts]
    return SnakePage(items=items, next_cursor=None)


@router.get("/account/addresses")
async def list_addresses(request: Member, limit: Limit = 50, cursor: CursorText = None) -> SnakePage[AddressView]:
    """The account's addresses, proven or not."""
    after = decode_id_cursor(cursor)
    program, account = await request.account()
    async with request.services.database.program(program.id) as session:
        found = await repository_addresses.addresses_after(session, program.id, account.id, after, limit + 1)
    rows, following = page(found, limit, lambda row: row.id)
    return SnakePage(items=[views.address_view(row, account) for row in rows], next_cursor=following)


@router.post("/account/addresses", status_code=201, response_model=AddressToProve)
async def register_address(body: NewAddress, request: WritingMember) -> Response:
    """Register an address; the answer has what its wallet is to sign. Ask again for a fresh challenge."""
    program, account = await request.account()
    await request.slow("addresses", _PROOFS)
    origin = await _origin(request, program)

    async def work(session: ProgramSession) -> AddressToProve:
        registered = await registry.register(
            session, program, account.id, body.network, body.address, origin, by_transfer=body.proof == "transfer"
        )
        return views.to_prove_view(registered, account)

    return await request.write(program, body, work, status=201)


@router.post("/account/addresses/{address_id}/verify", response_model=AddressView)
async def verify_address(address_id: AddressPath, body: AddressProof, request: WritingMember) -> Response:
    """Prove the address by its challenge's signature, or by the transfer that was asked for."""
    program, account = await request.account()
    repeated = await request.known(program, body)
    if repeated is not None:
        return repeated
    await request.slow("proofs", _PROOFS)
    async with request.services.database.program(program.id) as session:
        row = await repository_addresses.address_of(session, program.id, account.id, address_id)
        if row is None:
            raise AddressNotFoundError
        challenge = await challenges.of_address(session, address_id)
    # A chain may be asked now: no transaction is open.
    if body.transaction_hash is not None:
        proven = await request.prover.transferred(challenge, body.transaction_hash)
    elif challenge.transfer_to is not None:
        raise WalletSignatureError("This address was asked for a transfer; register it anew to be asked for a signature.")
    else:
        proven = await request.prover.signed(challenge, body.signature or "")

    async def work(session: ProgramSession) -> AddressView:
        return await _shown(session, program, account, await registry.prove(session, program, challenge, proven))

    return await request.write(program, body, work)


@router.post("/account/addresses/{address_id}/transfer", response_model=AddressToProve)
async def transfer_address(address_id: AddressPath, request: WritingMember) -> Response:
    """Ask for the challenge that moves an address here from the account of the program that has it; then verify it.

    What it earned stays where it was earned.
    """
    program, account = await request.account()
    await request.slow("addresses", _PROOFS)
    origin = await _origin(request, program)

    async def work(session: ProgramSession) -> AddressToProve:
        registered = await registry.ask_for_transfer(session, program, account.id, address_id, origin)
        return views.to_prove_view(registered, account)

    return await request.write(program, None, work)


@router.post("/account/addresses/{address_id}/primary", response_model=AddressView)
async def prefer_address(address_id: AddressPath, request: WritingMember) -> Response:
    """Make the address the account's primary one; it has to be proven, and usable already."""
    program, account = await request.account()

    async def work(session: ProgramSession) -> AddressView:
        return await _shown(session, program, account, await registry.prefer(session, program, account.id, address_id))

    return await request.write(program, None, work)


@router.delete("/account/addresses/{address_id}", status_code=204, response_class=Response)
async def remove_address(address_id: AddressPath, request: WritingMember) -> Response:
    """Take the address off the account; what it earned stays."""
    program, account = await request.account()
    return await request.write(program, None, lambda session: registry.remove(session, program, account.id, address_id))


async def _account_view(request: MemberRequest, session: ScopedSession, program: Program, account: Account) -> AccountView:
    running = request.services
    tier = await running.tier_of(session, program.id, account.id, running.clock.now())
    return await views.account_view(session, program, account, tier)


async def _origin(request: MemberRequest, program: Program) -> str:
    async with request.services.database.platform() as session:
        return await origins.asking_origin(session, request.request, request.services.settings, program)


async def _shown(session: ScopedSession, program: Program, account: Account, address: Address) -> AddressView:
    """The address, with whether it is the primary one now."""
    present = await repository_members.account_by_id(session, program.id, account.id)
    if present is None:
        raise AccountNotFoundError
    return views.address_view(address, present)
