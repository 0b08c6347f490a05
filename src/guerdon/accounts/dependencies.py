"""What endpoints for members take from a request: who is signed in, for which program, with which account.

@router.get("/things")
async def list_things(request: Member) -> …:
    program, account = await request.account()
    async with request.services.database.program(program.id) as session: …
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
from fastapi.responses import Response
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from guerdon.accounts import membership, origins, repository_members
from guerdon.accounts.errors import AccountNotFoundError, NotSignedInError
from guerdon.accounts.models import Account
from guerdon.accounts.models_members import MemberSession
from guerdon.accounts.proofs import Chains, Prover
from guerdon.accounts.sign_in import session_of
from guerdon.accounts.wallets import WalletProvider
from guerdon.kit.api import Services, services
from guerdon.kit.clients import client_address
from guerdon.kit.database import PlatformSession, ProgramSession, ScopedSession
from guerdon.kit.idempotency import Answer, RequestKey, known_answer, once
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.ratelimit import Rate
from guerdon.programs.administration import program_named
from guerdon.programs.dependencies import BRAND_ID_HEADER, IdempotencyKey
from guerdon.programs.errors import ProgramMismatchError, ProgramNotFoundError, ProgramRequiredError
from guerdon.programs.models import Program
from guerdon.programs.repository import program_by_id, programs_after
from guerdon.programs.schemas import BrandId

COOKIE = "__Host-guerdon"
"""Browsers take a cookie of such a name only over TLS (or on their own machine), for one host and all its paths."""

_bearer = HTTPBearer(auto_error=False, description="A member's session, `gms_…`.", scheme_name="memberSession")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="The same, kept by a browser.", scheme_name="memberCookie")


class MemberServices(Services, Protocol):
    """What members' endpoints use of the running application besides."""

    @property
    def wallets(self) -> WalletProvider:
        """Gives every identity its built-in wallet."""
        ...

    @property
    def chain(self) -> Chains:
        """The chains' clients, by network."""
        ...

    async def tier_of(self, session: ScopedSession, program_id: UUID, account_id: UUID, now: datetime, /) -> str:
        """An account's tier at `now`, computed from what was settled."""
        ...


def member_services(running: Annotated[Services, Depends(services)]) -> MemberServices:
    """The running application behind a request; a FastAPI dependency."""
    return running  # pyright: ignore[reportReturnType] - `app.Runtime`, which the kit does not know, is all of it


RunningServices = Annotated[MemberServices, Depends(member_services)]
HeaderBrandId = Annotated[BrandId | None, Header(alias=BRAND_ID_HEADER, description="The program.")]
QueryBrandId = Annotated[BrandId | None, Query(alias="brandId", description="The program.")]


@dataclass(frozen=True, slots=True)
class MemberRequest:
    """A request of somebody who is signed in."""

    services: MemberServices
    session: MemberSession
    request: Request
    named: tuple[str | None, ...]
    """Brand ids that header and query name."""
    account_id: UUID | None
    """Which of several accounts, if the request says so."""
    idempotency_key: str | None
    operation: str
    """Method and path template: what an idempotency key is for."""

    @property
    def user_id(self) -> UUID:
        """Who is signed in."""
        return self.session.user_id

    @property
    def prover(self) -> Prover:
        """Checks proofs, outside of transactions."""
        return Prover(self.services.database, self.services.chain)

    async def program(self, *names: str | None) -> Program:
        """The program that this request is about (DESIGN section 7); `names` are those that path and body give.

        Raises `ProgramRequiredError`, `ProgramMismatchError`, `ProgramNotFoundError`.
        """
        async with self.services.database.platform() as session:
            return await self._program(session, names)

    async def _program(self, session: PlatformSession, names: tuple[str | None, ...]) -> Program:
        program = await named_program(session, (*names, *self.named))
        bound = self.session.program_id
        if bound is not None:
            # Opened on a program's page: it reaches nothing of any other program.
            if program is not None and program.id != bound:
                raise ProgramMismatchError
            own = await program_by_id(session, bound)
            if own is None:
                raise ProgramNotFoundError
            return own
        if program is None:
            program = await origins.program_at(session, origins.host_header(self.request))
        if program is None:
            programs = {program_id for program_id, _, _ in await repository_members.directory_of(session, self.user_id)}
            program = await program_by_id(session, programs.pop()) if len(programs) == 1 else None
        return program or await only_program(session)

    async def account(self, *names: str | None) -> tuple[Program, Account]:
        """The program, and the member's account in it: the one that `account_id` names, else the oldest.

        Raises `AccountNotFoundError`, also for another's account, and the errors of `program`.
        """
        program = await self.program(*names)
        accounts = await self.accounts(program)
        for account in accounts:
            if self.account_id is None or account.id == self.account_id:
                return program, account
        raise AccountNotFoundError

    async def accounts(self, program: Program) -> list[Account]:
        """The member's accounts in the program, the oldest first."""
        async with self.services.database.program(program.id) as session:
            found = await repository_members.accounts_of_user(session, program.id, self.user_id)
        if not found:
            async with self.services.database.platform() as session:
                found = await membership.accounts_of(session, self.services.secrets, program, self.user_id)
        return list(found)

    async def known(self, program: Program, body: BaseModel | None) -> Response | None:
        """The first answer to a request that was sent before with this key; for what asks a chain before it writes."""
        if self.idempotency_key is None:
            return None
        async with self.services.database.program(program.id) as session:
            answer = await known_answer(session, self.services.secrets, self._key(program), self._canonical(body))
        return None if answer is None else _response(answer)

    async def write(
        self,
        program: Program,
        body: BaseModel | None,
        work: Callable[[ProgramSession], Awaitable[BaseModel | None]],
        *,
        status: int = 200,
    ) -> Response:
        """Do `work` once for an idempotency key of this member, in a transaction that acts for the program."""
        async with self.services.database.program(program.id) as session:

            async def run() -> Answer:
                return _answer(await work(session), status)

            if self.idempotency_key is None:
                return _response(await run())
            key = self._key(program)
            return _response(await once(session, self.services.secrets, key, self._canonical(body), run))

    async def write_platform(
        self,
        program_id: UUID,
        body: BaseModel | None,
        work: Callable[[PlatformSession], Awaitable[tuple[BaseModel, int]]],
    ) -> Response:
        """The same in a transaction of the platform, where a user's accounts are made; `work` says its status.

        What it answered is kept in platform scope: `program_id` is part of the operation.
        """
        async with self.services.database.platform() as session:

            async def run() -> Answer:
                shown, status = await work(session)
                return _answer(shown, status)

            if self.idempotency_key is None:
                return _response(await run())
            operation = f"{self.operation} {program_id}"
            key = RequestKey(PLATFORM_PROGRAM_ID, operation, f"member:{self.user_id}", self.idempotency_key)
            return _response(await once(session, self.services.secrets, key, self._canonical(body), run))

    def _key(self, program: Program) -> RequestKey:
        # Of this member alone: nobody else's key is occupied or read by it (SAFETY S12).
        caller = f"member:{self.user_id}"
        return RequestKey(program.id, self.operation, caller, self.idempotency_key or "")

    def _canonical(self, body: BaseModel | None) -> bytes:
        """What makes two requests the same: where they go and what they say, not how it is written."""
        said = None if body is None else body.model_dump(mode="json", exclude_unset=True)
        path = {name: str(value) for name, value in self.request.path_params.items()}
        account = None if self.account_id is None else str(self.account_id)
        return json.dumps([path, account, said], sort_keys=True).encode("utf-8")

    async def slow(self, name: str, rate: Rate) -> None:
        """Count against a rate of this member. Raises `RateLimitedError`."""
        (await self.services.limiter.hit(name, self.user_id.hex, rate)).require()


async def member(  # noqa: PLR0917 - a request has these parts
    request: Request,
    running: RunningServices,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    kept: Annotated[str | None, Security(_cookie)],
    header_brand_id: HeaderBrandId = None,
    query_brand_id: QueryBrandId = None,
    account_id: Annotated[UUID | None, Query(description="Which of your accounts, if you have several.")] = None,
) -> MemberRequest:
    """The dependency of endpoints that only read."""
    # A bearer token that is offered and wrong is refused, never passed over for the cookie.
    token = credentials.credentials if credentials is not None else kept
    if token is None:
        raise NotSignedInError
    if credentials is None:
        origins.require_own_page(request, running.settings)
    async with running.database.platform() as session:
        found = await session_of(session, token, in_cookie=credentials is None)
    rate = Rate(running.settings.rate_limit_members_a_minute, 60)
    (await running.limiter.hit("members", found.user_id.hex, rate)).require()
    route = request.scope.get("route")
    return MemberRequest(
        services=running,
        session=found,
        request=request,
        named=(header_brand_id, query_brand_id),
        account_id=account_id,
        idempotency_key=None,
        operation=f"{request.method} {getattr(route, 'path', request.url.path)}",
    )


async def writing(request: Annotated[MemberRequest, Depends(member)], key: IdempotencyKey = None) -> MemberRequest:
    """The dependency of endpoints that write: they take an `Idempotency-Key` too."""
    return replace(request, idempotency_key=key)


Member = Annotated[MemberRequest, Depends(member)]
WritingMember = Annotated[MemberRequest, Depends(writing)]


async def named_program(session: PlatformSession, names: tuple[str | None, ...]) -> Program | None:
    """The program that a request names; None if it names none. Raises `ProgramMismatchError`, `ProgramNotFoundError`."""
    found: Program | None = None
    for name in names:
        if name is None:
            continue
        program = await program_named(session, name)
        if found is not None and found.id != program.id:
            raise ProgramMismatchError
        found = program
    return found


async def only_program(session: PlatformSession) -> Program:
    """The installation's only program. Raises `ProgramRequiredError`."""
    programs = await programs_after(session, None, 2)
    if len(programs) != 1:
        raise ProgramRequiredError
    return programs[0]


def client_of(request: Request, running: Services) -> str:
    """The address that counts as the caller's (SAFETY S8)."""
    peer = "" if request.client is None else request.client.host
    return client_address(peer, request.headers.get("x-forwarded-for"), running.settings.trusted_proxies)


def _answer(shown: BaseModel | None, status: int) -> Answer:
    if shown is None:
        return Answer(204, b"")
    return Answer(status, shown.model_dump_json(by_alias=True).encode("utf-8"))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, media_type="application/json" if answer.body else None)
