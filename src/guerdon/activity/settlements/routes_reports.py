"""`POST /webhooks/settlements/{source}`: payment facilitators tell what they settled."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from guerdon.activity.calls import call_of, read_body
from guerdon.activity.settlements import webhooks
from guerdon.activity.settlements.errors import SourceNotFoundError
from guerdon.activity.settlements.models import SourceKind
from guerdon.activity.settlements.reporting import Reception
from guerdon.kit.api import services
from guerdon.kit.clients import client_address
from guerdon.kit.ids import parse_uuid
from guerdon.kit.ratelimit import Rate

MAX_WEBHOOK_BYTES: Final = 256 * 1024

router = APIRouter(tags=["settlements"])

_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "description": "As the kind of source sends it: OpenFacilitator's webhook, or `{type, data: {network, transaction, …}}`,"
    " or `{type, data: {settlements: […]}}` with 200 of them at most.",
}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["event", "accepted", "ignored"],
    "properties": {
        "event": {"type": "string"},
        "accepted": {"type": "integer", "minimum": 0},
        "ignored": {"type": "array", "items": {"type": "string"}},
    },
}
_SIGNATURES: Final = [
    {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
    for name in (
        "X-Webhook-Signature", "webhook-id", "webhook-timestamp", "webhook-signature", "X-X402-Signature", "X-X402-Timestamp",
    )
]  # fmt: skip


@router.post(
    "/webhooks/settlements/{source}",
    status_code=202,
    response_class=JSONResponse,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
        "parameters": _SIGNATURES,
    },
    responses={
        200: {"description": "A test, or nothing to look at.", "content": {"application/json": {"schema": _ANSWER}}},
        202: {"description": "Kept; the chain is asked.", "content": {"application/json": {"schema": _ANSWER}}},
    },
)
async def report_settlement(source: str, request: Request) -> JSONResponse:
    """A signed report of payments. It is kept and answered at once; what it says counts as far as the chain proves it."""
    opened = services(request)
    call = call_of(request.scope)
    settings = opened.settings
    caller = client_address(call.peer, call.text(b"x-forwarded-for"), settings.trusted_proxies)
    minute = 60
    (await opened.limiter.hit("webhook", caller, Rate(settings.rate_limit_settlements_a_minute, minute))).require()
    body = await read_body(request.receive, call.headers, MAX_WEBHOOK_BYTES)
    source_id = parse_uuid(source)
    if source_id is None:
        raise SourceNotFoundError
    reception = Reception(opened.database, opened.secrets)
    found = await reception.source(source_id)
    headers = {name.decode("latin-1"): value.decode("latin-1").strip() for name, value in call.headers.items()}
    now = opened.clock.now()
    await reception.authenticate(found, headers, body, now)
    delivery = webhooks.read(SourceKind(found.kind), body)
    # Whoever can't sign does not use up what the source may send; each payment counts, however many a delivery tells of.
    rate = Rate(settings.rate_limit_settlements_a_minute, minute)
    (await opened.limiter.hit("settlements", found.id.hex, rate, cost=max(1, len(delivery.reports)))).require()
    received = await reception.receive(found, delivery, now)
    status = 200 if webhooks.is_test(received.event) or not received.accepted else 202
    answer = {"event": received.event, "accepted": received.accepted, "ignored": received.ignored}
    return JSONResponse(answer, status)
