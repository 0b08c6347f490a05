"""`POST /loyalteez-api/reverse-event`: a server or an operator takes a reward back."""

from __future__ import annotations

from typing import Any, Final, cast

from fastapi import APIRouter, Request, Response

from guerdon.activity import keys, reversals
from guerdon.activity.authentication import Caller
from guerdon.activity.calls import Call, call_of, encode, read_body
from guerdon.activity.errors import IdempotencyKeyRequiredError, ProofRequiredError
from guerdon.activity.events_api import EventsApi
from guerdon.activity.reversals import ReversalRequest
from guerdon.activity.schemas import parse_key
from guerdon.activity.schemas_reversals import ReversalBody, parse_reversal, reversal_answer
from guerdon.earning.terms import Trust
from guerdon.kit.api import services
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform
from guerdon.programs.models import Program, ReversalPolicy

MAX_REVERSAL_BYTES: Final = 16 * 1024

router = APIRouter(tags=["events"])

_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer", "minimum": 0}
_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["reason"],
    "properties": {
        "brandId": _STRING,
        "eventId": {"type": "string", "format": "uuid"},
        "idempotencyKey": {"type": "string", "description": "The key that the event was reported with, in place of eventId."},
        "amount": {"type": "integer", "minimum": 1, "description": "Points to take back; absent, all that are left."},
        "reason": {"type": "string", "minLength": 1, "maxLength": 500},
    },
}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "success": {"type": "boolean"},
        "reversalId": {"type": ["string", "null"]},
        "eventId": _STRING,
        **dict.fromkeys(("amount", "fromPending", "fromBalance", "asDebt", "notRecovered"), _INTEGER),
        "alreadyReversed": {"type": "boolean"},
        "replayed": {"type": "boolean"},
    },
}


@router.post(
    "/loyalteez-api/reverse-event",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}},
    responses={200: {"description": "What was taken back.", "content": {"application/json": {"schema": _ANSWER}}}},
)
async def reverse_event(request: Request) -> Response:
    """Take a reward back, whole or in part, by event id or by the key it was reported with."""
    opened = services(request)
    events = cast("EventsApi", request.app.state.events)
    reception = events.reception
    call = call_of(request.scope)
    call.body = await read_body(request.receive, call.headers, MAX_REVERSAL_BYTES)
    call.require_json()
    proof = await reception.authenticator.proof(call)
    body = parse_reversal(call.body)
    if proof.is_unsigned:
        raise ProofRequiredError
    named = None if body.brand_id is None else body.brand_id.lower()
    caller = await reception.authenticator.caller(proof, brand_id=named, domain=None, source_url=None)
    wanted = _request_keys(call, caller, body)
    program_id = caller.program.id

    async def work(session: PlatformSession) -> bytes:
        async with program_scope(session, program_id):
            event_id = body.event_id
            if event_id is None:
                event_id = await reversals.event_reported_as(session, program_id, body.idempotency_key or "")
            program = await session.get_one(Program, program_id)
            reversal, is_repeat = await reversals.reverse_event(
                session,
                program_id,
                ReversalPolicy(program.reversal_policy),
                ReversalRequest(event_id, body.amount, body.reason, wanted, keys.body_hash(call.body)),
                events.recall,
            )
            return encode(reversal_answer(event_id, reversal, is_repeat=is_repeat))

    answer = await run_in_platform(opened.database, work)
    return Response(answer, media_type="application/json")


def _request_keys(call: Call, caller: Caller, body: ReversalBody) -> tuple[bytes, ...]:
    """The hashes under which this request is known again. Taking a part twice must be meant, so it needs one."""
    hashes: list[bytes] = []
    header = parse_key(call.header(b"idempotency-key"))
    if header is not None:
        hashes.append(keys.idempotency_key_hash(caller.trust, reversals.OPERATION, header))
    if caller.signature is not None:
        hashes.append(keys.signature_hash(caller.signature))
    if body.amount is not None and not hashes and caller.trust is Trust.OPERATOR:
        raise IdempotencyKeyRequiredError
    return tuple(hashes)
