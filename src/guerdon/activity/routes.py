"""Look-ups of the event handler: what is rewarded, who could earn it, what somebody has, whether all is well.

Bodies are read as those of reports are (SAFETY S9), whatever content type a page could send.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from guerdon import __version__
from guerdon.accounts.wallets import WalletProvider
from guerdon.activity import keys, repository, service
from guerdon.activity.authentication import Caller, Proof
from guerdon.activity.balances import Balances, Chains
from guerdon.activity.calls import Call, call_of, read_body
from guerdon.activity.directory import KnownProgram
from guerdon.activity.errors import ProofRequiredError
from guerdon.activity.events_api import EventsApi
from guerdon.activity.schemas import LookupBody, decode_object, parse_lookup, parse_report
from guerdon.activity.schemas_lookups import Debug, Eligibility, EventConfigs, Health, UserBalance
from guerdon.earning.terms import Trust
from guerdon.kit.api import Services, services
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.programs.administration import parse_brand_id

MAX_LOOKUP_BYTES: Final = 64 * 1024
CONFIG_SECONDS: Final = 300
"""For how long clients may keep what a program rewards."""

router = APIRouter(prefix="/loyalteez-api", tags=["events"])

_PERSON: Final[dict[str, Any]] = {
    "brandId": {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"},
    "userEmail": {"type": "string", "maxLength": 254},
    "userIdentifier": {"description": "In place of userEmail: a string, or {platform, platformUserId}."},
}
_BALANCE_BODY: Final = {
    **_PERSON,
    "includeHistory": {"type": "boolean"},
    "historyLimit": {"type": "integer", "minimum": 1, "maximum": 50},
}
_ELIGIBILITY_BODY: Final = {
    **_PERSON,
    "eventType": {"type": "string"},
    "channel_id": {"type": "string"},
    "metadata": {"type": "object"},
}


class LookupServices(Services, Protocol):
    """What look-ups use of the running application besides."""

    @property
    def wallets(self) -> WalletProvider:
        """Derives the wallets of identities."""
        ...

    @property
    def chain(self) -> Chains:
        """The networks."""
        ...


def running(request: Request) -> LookupServices:
    """The running application."""
    return cast("LookupServices", services(request))


def events_api(request: Request) -> EventsApi:
    """The event handler of this process."""
    return cast("EventsApi", request.app.state.events)


Running = Annotated[LookupServices, Depends(running)]
Events = Annotated[EventsApi, Depends(events_api)]


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.get("/event-config")
async def event_config(
    request: Request,
    opened: Running,
    events: Events,
    response: Response,
    brand_id: Annotated[str | None, Query(alias="brandId", max_length=64)] = None,
) -> EventConfigs:
    """What the program rewards and how the SDK detects it. Needs no proof; may be kept for five minutes."""
    authenticator = events.reception.authenticator
    call = call_of(request.scope)
    named = None if brand_id is None else parse_brand_id(brand_id)
    program = await authenticator.program(Proof(authenticator.named(call)), named)
    async with opened.database.program(program.id) as session:
        configs = await service.event_configs(session, program.id)
    response.headers["Cache-Control"] = f"public, max-age={CONFIG_SECONDS}"
    return EventConfigs(brand_id=program.brand_id, events=configs, count=len(configs))


@router.post("/check-eligibility", openapi_extra=_body(_ELIGIBILITY_BODY))
async def check_eligibility(request: Request, opened: Running, events: Events) -> Eligibility:
    """Whether this report would be rewarded now, and if not, why. Signed, unless the program allows unsigned look-ups."""
    call = await _call(request)
    body = parse_report(decode_object(call.body))
    proof, program = await _proven(events, call, body.brand_id)
    trust = Trust.BROWSER if proof.is_unsigned else Trust.SERVER if proof.operator is None else Trust.OPERATOR
    address = proof.client_address if proof.is_unsigned else None
    caller = Caller(program, trust, None, address, proof.signature)
    async with opened.database.program(program.id) as session:
        return await service.eligibility(session, caller, body, events.booking_time)


@router.get("/user-balance")
async def user_balance(request: Request, opened: Running, events: Events) -> UserBalance:
    """What a person has, by `brandId` and `userEmail` in the address. Signed, unless the program allows unsigned look-ups."""
    call = call_of(request.scope)
    body = parse_lookup(dict(request.query_params))
    proof, program = await _proven(events, call, body.brand_id)
    if proof.signature is not None:
        asked = keys.body_hash(request.url.query.encode())
        async with opened.database.program(program.id) as session:
            await service.spend_signature(session, keys.signature_hash(proof.signature), asked, keys.USER_BALANCE)
    return await _balance(opened, proof, program, body)


@router.post("/user-balance", openapi_extra=_body(_BALANCE_BODY), operation_id="post_user_balance")
async def post_user_balance(request: Request, opened: Running, events: Events) -> UserBalance:
    """What a person has; with `includeHistory` the last rewards too, which are told to signed requests only."""
    call = await _call(request)
    body = parse_lookup(decode_object(call.body))
    return await _balance(opened, *await _proven(events, call, body.brand_id), body)


@router.get("/health", response_model=Health)
async def health(opened: Running, events: Events) -> Response:
    """Whether reports are taken: 503 if the database can't be reached."""
    found = {"intake": "healthy" if events.reception.batcher.room else "busy", "database": "healthy"}
    try:
        await opened.database.ping()
    except DatabaseUnavailableError:
        found["database"] = "unreachable"
    is_healthy = found["database"] == "healthy"
    answer = Health(status="healthy" if is_healthy else "unhealthy", timestamp=opened.clock.now(), services=found)
    return JSONResponse(answer.model_dump(mode="json", by_alias=True), 200 if is_healthy else 503)


@router.get("/debug")
async def debug(request: Request, opened: Running, events: Events) -> Debug:
    """Version, roles and lags of this installation; no secrets and no names."""
    async with opened.database.platform() as session:
        lags = await repository.lags(session)
        schema = await repository.schema_version(session)
    return Debug(
        version=__version__,
        roles=[str(getattr(request.app.state, "role", "all"))],
        timestamp=opened.clock.now(),
        schema_version=schema,
        waiting_events=events.reception.batcher.waiting,
        lags_seconds=lags,
    )


async def _call(request: Request) -> Call:
    call = call_of(request.scope)
    call.body = await read_body(request.receive, call.headers, MAX_LOOKUP_BYTES)
    call.require_json()
    return call


async def _proven(events: EventsApi, call: Call, brand_id: str | None) -> tuple[Proof, KnownProgram]:
    """The proof of a question and its program. Raises `ProofRequiredError` where there is none and the program wants one."""
    proof = await events.reception.authenticator.proof(call)
    program = await events.reception.authenticator.program(proof, brand_id)
    if proof.is_unsigned:
        if not program.unsigned_lookups:
            raise ProofRequiredError("Sign the request; this program answers no unsigned questions about people.")
        key = f"{program.id}:{proof.client_address}"
        (await events.reception.limiter.hit("lookups", key, events.reception.unsigned_rate)).require()
    return proof, program


async def _balance(opened: LookupServices, proof: Proof, program: KnownProgram, body: LookupBody) -> UserBalance:
    if proof.is_unsigned and body.history is not None:
        raise ProofRequiredError("Sign the request; history is told to nobody else.")
    balances = Balances(opened.database, opened.chain, opened.wallets)
    return await balances.of(program, body.identity(program.synthetic_domains), body.history)
