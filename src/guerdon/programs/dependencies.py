"""What administration endpoints of every domain take from a request: who asks, for which program, and how a repeat is told.

@router.get("/things")
async def list_things(request: Reading) -> …:
    program = await request.program()
    async with request.services.database.program(program.id) as session: …
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Protocol, cast
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from guerdon.kit.api import Services, services
from guerdon.kit.database import PlatformSession, ProgramSession, ScopedSession
from guerdon.kit.idempotency import Answer, RequestKey, once
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.ratelimit import Rate
from guerdon.programs.administration import Operator, operator_of, program_of_request
from guerdon.programs.errors import InvalidAdminKeyError
from guerdon.programs.funding import FundingDeps
from guerdon.programs.models import AdminRole, Program
from guerdon.programs.schemas import BrandId

BRAND_ID_HEADER = "X-Loyalteez-Brand-Id"

_bearer = HTTPBearer(auto_error=False, description="An admin key, `gk_<id>_<secret>`.", scheme_name="adminKey")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A repeat with the same key and body gets the first answer, for ever; with another body 409.",
    ),
]


@dataclass(frozen=True, slots=True)
class Administration:
    """A request with a valid admin key."""

    services: Services
    operator: Operator
    named: tuple[str | None, ...]
    """Brand ids that header and query name."""
    idempotency_key: str | None
    operation: str
    """Method and path template: what an idempotency key is for."""
    path: dict[str, str]

    async def program(self, *names: str | None) -> Program:
        """The program that this request is about; `names` are those that path and body give."""
        async with self.services.database.platform() as session:
            return await program_of_request(session, self.operator, (*names, *self.named))

    async def program_if_named(self) -> Program | None:
        """The same, but None where an operator of the platform names none: for lists of everything."""
        if self.operator.program_id is None and not any(self.named):
            return None
        return await self.program()

    async def write_program(
        self,
        program_id: UUID,
        body: BaseModel | None,
        work: Callable[[ProgramSession], Awaitable[BaseModel | None]],
        *,
        status: int = 200,
    ) -> Response:
        """Do `work` once for an idempotency key, in a transaction that acts for the program."""
        async with self.services.database.program(program_id) as session:
            return await self._once(session, program_id, body, lambda: work(session), status)

    async def write_with_rights(
        self,
        program_id: UUID,
        body: BaseModel | None,
        work: Callable[[ProgramSession], Awaitable[BaseModel | None]],
        *,
        status: int = 200,
    ) -> Response:
        """The same for what the platform's operator may and a program's may not: then `work` has an `OperatorSession`."""
        if self.operator.role is not AdminRole.PLATFORM:
            return await self.write_program(program_id, body, work, status=status)
        async with self.services.database.operator(program_id) as session:
            return await self._once(session, program_id, body, lambda: work(session), status)

    async def write_platform(
        self,
        body: BaseModel | None,
        work: Callable[[PlatformSession], Awaitable[BaseModel | None]],
        *,
        status: int = 200,
        program_id: UUID | None = None,
    ) -> Response:
        """Do `work` once for an idempotency key, in a transaction of the platform.

        `program_id` is that of the program that it is done for, where the path does not name it: each has keys of its own.
        """
        async with self.services.database.platform() as session:
            return await self._once(session, PLATFORM_PROGRAM_ID, body, lambda: work(session), status, done_for=program_id)

    async def _once(
        self,
        session: ScopedSession,
        program_id: UUID,
        body: BaseModel | None,
        work: Callable[[], Awaitable[BaseModel | None]],
        status: int,
        *,
        done_for: UUID | None = None,
    ) -> Response:
        async def run() -> Answer:
            result = await work()
            if result is None:
                return Answer(204, b"")
            return Answer(status, result.model_dump_json(by_alias=True).encode("utf-8"))

        if self.idempotency_key is None:
            answer = await run()
        else:
            # Not the key's id: another admin key of the same program may repeat the request (SAFETY S12, rotation).
            operation = self.operation if done_for is None else f"{self.operation} {done_for}"
            key = RequestKey(program_id, operation, "operator", self.idempotency_key)
            answer = await once(session, self.services.secrets, key, self._canonical(body), run)
        return Response(answer.body, answer.status, media_type="application/json" if answer.body else None)

    def _canonical(self, body: BaseModel | None) -> bytes:
        """What makes two requests the same: where they go and what they say, not how it is written."""
        said = None if body is None else body.model_dump(mode="json", exclude_unset=True)
        return json.dumps([self.path, said], sort_keys=True).encode("utf-8")


async def administration(
    request: Request,
    running: Annotated[Services, Depends(services)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header_brand_id: Annotated[BrandId | None, Header(alias=BRAND_ID_HEADER, description="The program.")] = None,
    query_brand_id: Annotated[BrandId | None, Query(alias="brandId", description="The program.")] = None,
) -> Administration:
    """The dependency of endpoints that only read."""
    if credentials is None:
        raise InvalidAdminKeyError
    async with running.database.platform() as session:
        operator = await operator_of(session, credentials.credentials)
    rate = Rate(running.settings.rate_limit_admin_a_minute, 60)
    (await running.limiter.hit("admin", operator.key_id.hex, rate)).require()
    route = request.scope.get("route")
    return Administration(
        services=running,
        operator=operator,
        named=(header_brand_id, query_brand_id),
        idempotency_key=None,
        operation=f"{request.method} {getattr(route, 'path', request.url.path)}",
        path={name: str(value) for name, value in request.path_params.items()},
    )


async def writing(request: Annotated[Administration, Depends(administration)], key: IdempotencyKey = None) -> Administration:
    """The dependency of endpoints that write: they take an `Idempotency-Key` too."""
    return replace(request, idempotency_key=key)


Reading = Annotated[Administration, Depends(administration)]
Writing = Annotated[Administration, Depends(writing)]


class _OnChain(Protocol):
    """What some endpoints use of the running application besides `Services`."""

    def funding_deps(self) -> FundingDeps:
        """What funding takes."""
        ...


def funding_deps(request: Writing) -> FundingDeps:
    """What asking the chain takes."""
    return cast("_OnChain", request.services).funding_deps()
