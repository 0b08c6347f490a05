"""Signing in with a wallet, and what a session is: `/api/auth`."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from guerdon.accounts import challenges, membership, origins, repository_members, sign_in, views
from guerdon.accounts.challenges import Subject
from guerdon.accounts.dependencies import (
    COOKIE,
    HeaderBrandId,
    Member,
    MemberServices,
    QueryBrandId,
    RunningServices,
    client_of,
    named_program,
)
from guerdon.accounts.errors import CrossSiteRequestError
from guerdon.accounts.forms import canonical, network_named, shown
from guerdon.accounts.identities import wallet_of_identity
from guerdon.accounts.models_members import MemberSession, Purpose
from guerdon.accounts.proofs import Prover
from guerdon.accounts.schemas import (
    ChallengeView,
    IdentityView,
    MembershipView,
    NewSession,
    NewSignIn,
    ProofOfSignIn,
    ProofOfWallet,
    SignOut,
    WhoIsSignedIn,
)
from guerdon.accounts.sign_in import KnownIdentity
from guerdon.kit.database import PlatformSession
from guerdon.kit.ratelimit import Rate
from guerdon.programs.repository import brand_ids, program_by_id

router = APIRouter(prefix="/api/auth", tags=["sign-in"])

_WALLETS_SHARE = 4
"""A wallet may be asked for so much more often than one client may ask, or one client could lock its owner out."""


@router.post("/wallet/challenge")
async def ask_to_sign_in(
    body: NewSignIn,
    request: Request,
    running: RunningServices,
    header_brand_id: HeaderBrandId = None,
    query_brand_id: QueryBrandId = None,
) -> ChallengeView:
    """What a wallet is to sign to sign in. On a program's page name the program: the session will be good for it alone."""
    network = network_named(body.network)
    address = canonical(network.namespace, body.address)
    await _slow(request, running, f"{network.namespace}:{address}")
    async with running.database.platform() as session:
        named = await named_program(session, (header_brand_id, query_brand_id))
        program = await origins.program_of_page(session, request, running.settings, named)
        subject = Subject(
            Purpose.SIGN_IN,
            await origins.asking_origin(session, request, running.settings, program),
            network,
            address,
            program_id=None if program is None else program.id,
            brand_id=None if program is None else program.brand_id,
        )
        return views.challenge_view(await challenges.issue(session, subject))


@router.post("/wallet/verify", response_model=NewSession)
async def sign_in_with_wallet(
    body: ProofOfSignIn,
    request: Request,
    running: RunningServices,
) -> Response:
    """Sign in by a signed challenge. A wallet that nobody signed in with before makes a new user.

    A repeat is refused (409), also with an `Idempotency-Key`: a session's token is shown once.
    """
    await _slow(request, running, body.nonce)
    if body.cookie and not origins.is_own(running.settings, request.headers.get("origin", "")):
        raise CrossSiteRequestError
    async with running.database.platform() as session:
        challenge = await challenges.of_nonce(session, body.nonce, Purpose.SIGN_IN)
        # The page that answers is the one that asked: ours, or that program's.
        asked_by = None if challenge.program_id is None else await program_by_id(session, challenge.program_id)
        await origins.program_of_page(session, request, running.settings, asked_by)
    proven = await Prover(running.database, running.chain).signed(challenge, body.signature)
    # Whoever had this browser before is signed out: nothing of an old session goes on under a new one.
    replaced = sign_in.hash_token(request.cookies.get(COOKIE, "")) if body.cookie else None
    async with running.database.platform() as session:
        opened = await sign_in.sign_in(
            session,
            running.secrets,
            running.wallets,
            challenge,
            proven,
            life=timedelta(hours=running.settings.session_hours),
            in_cookie=body.cookie,
            replaces=replaced,
        )
        program = None if challenge.program_id is None else await program_by_id(session, challenge.program_id)
        if program is not None:
            await membership.accounts_of(session, running.secrets, program, opened.user_id)
    answer = NewSession(
        user_id=opened.user_id,
        expires_at=opened.expires_at,
        brand_id=None if program is None else program.brand_id,
        token=None if body.cookie else opened.token,
    )
    response = JSONResponse(answer.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
    if body.cookie:
        life = running.settings.session_hours * 3600
        response.set_cookie(COOKIE, opened.token, max_age=life, path="/", secure=True, httponly=True, samesite="lax")
    return response


@router.get("/session")
async def show_session(request: Member) -> WhoIsSignedIn:
    """Who is signed in. A session of one program sees what is that program's."""
    running = request.services
    async with running.database.platform() as session:
        return await _who(session, running, request.session)


@router.post("/sign-out", status_code=204, response_class=Response)
async def sign_out(request: Member, body: SignOut | None = None) -> Response:
    """End this session, or all of yours."""
    everywhere = body is not None and body.everywhere
    async with request.services.database.platform() as session:
        await sign_in.sign_out(session, request.session, everywhere=everywhere)
    response = Response(status_code=204)
    if request.session.in_cookie:
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


@router.post("/identities/challenge")
async def ask_to_add_identity(body: NewSignIn, request: Member) -> ChallengeView:
    """What another wallet is to sign, so that you can sign in with it too."""
    running = request.services
    network = network_named(body.network)
    address = canonical(network.namespace, body.address)
    await _slow(request.request, running, f"{network.namespace}:{address}")
    async with running.database.platform() as session:
        await sign_in.require_fresh(session, request.session)
        subject = Subject(
            Purpose.ADD_IDENTITY,
            await origins.asking_origin(session, request.request, running.settings, None),
            network,
            address,
            user_id=request.user_id,
        )
        return views.challenge_view(await challenges.issue(session, subject))


@router.post("/identities/verify")
async def add_identity(body: ProofOfWallet, request: Member) -> WhoIsSignedIn:
    """Add the wallet that signed its challenge to those that you sign in with."""
    running = request.services
    await _slow(request.request, running, body.nonce)
    async with running.database.platform() as session:
        await sign_in.require_fresh(session, request.session)
        challenge = await challenges.of_nonce(session, body.nonce, Purpose.ADD_IDENTITY, user_id=request.user_id)
    proven = await request.prover.signed(challenge, body.signature)
    async with running.database.platform() as session:
        await sign_in.add_identity(session, running.secrets, running.wallets, challenge, proven, request.user_id)
        return await _who(session, running, request.session)


@router.post("/identities/remove")
async def remove_identity(body: NewSignIn, request: Member) -> WhoIsSignedIn:
    """Sign in with a wallet no longer; not with the last one. Your other sessions end; accounts and addresses stay."""
    running = request.services
    network = network_named(body.network)
    address = canonical(network.namespace, body.address)
    async with running.database.platform() as session:
        await sign_in.require_fresh(session, request.session)
        await sign_in.remove_identity(session, running.wallets, request.session, network.namespace, address, network.chain_id)
        return await _who(session, running, request.session)


async def _slow(request: Request, running: MemberServices, about: str) -> None:
    """Slow whoever asks from one address, and whoever asks about one wallet from many."""
    most = running.settings.rate_limit_sign_in_a_minute
    (await running.limiter.hit("sign-in", client_of(request, running), Rate(most, 60))).require()
    about_key = hashlib.sha256(about.encode("utf-8")).hexdigest()[:32]
    (await running.limiter.hit("sign-in-wallet", about_key, Rate(_WALLETS_SHARE * most, 60))).require()


async def _who(session: PlatformSession, running: MemberServices, current: MemberSession) -> WhoIsSignedIn:
    bound = current.program_id
    directory = await repository_members.directory_of(session, current.user_id)
    known = [] if bound is not None else await sign_in.identities_of(session, running.secrets, current.user_id)
    own = {} if bound is None else await brand_ids(session, [bound])
    return WhoIsSignedIn(
        user_id=current.user_id,
        expires_at=current.expires_at,
        brand_id=None if bound is None else own.get(bound),
        identities=[view for view in map(_identity_view, known) if view is not None],
        accounts=[
            MembershipView(brand_id=brand_id, account_id=account_id)
            for program_id, brand_id, account_id in directory
            if bound is None or program_id == bound
        ],
    )


def _identity_view(known: KnownIdentity) -> IdentityView | None:
    wallet = wallet_of_identity(known.identity)
    if wallet is None:
        return None
    namespace, address, chain_id = wallet
    return IdentityView.model_validate(
        {
            "namespace": namespace,
            "chain_id": chain_id,
            "address": shown(namespace, address),
            "method": known.method,
            "proven_at": known.proven_at,
        }
    )
