"""The OpenAPI parts of the two paths that are no framework routes: reports, single and in bulk. By hand, beside their schemas.

What makes them one document with the rest is `kit/openapi.py`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from guerdon.activity.intake import BULK_EVENTS, MANUAL_EVENT
from guerdon.activity.intake_bulk import MAX_JSON_EVENTS, MAX_NDJSON_EVENTS
from guerdon.activity.reception import EventAnswer

_BRAND_ID: Final = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$", "description": "The program's public id."}
_PERSON: Final = {
    "anyOf": [
        {"type": "string", "maxLength": 254},
        {
            "type": "object",
            "required": ["platform", "platformUserId"],
            "properties": {"platform": {"type": "string"}, "platformUserId": {"type": "string"}},
        },
    ],
    "description": "Instead of userEmail: an email, `platform:id`, or {platform, platformUserId}.",
}
REPORT: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Report",
    "required": ["eventType"],
    "anyOf": [{"required": ["userEmail"]}, {"required": ["userIdentifier"]}],
    "properties": {
        "brandId": _BRAND_ID,
        "eventType": {"type": "string", "pattern": "^[A-Za-z0-9_]{1,50}$"},
        "userEmail": {"type": "string", "maxLength": 254, "description": "May be `{platform}_{id}@loyalteez.app`."},
        "userIdentifier": _PERSON,
        "userWallet": {"type": "string", "maxLength": 128, "description": "A hint, never where tokens go."},
        "domain": {"type": "string", "maxLength": 253, "description": "The host the report comes from."},
        "sourceUrl": {"type": "string", "maxLength": 2048, "description": "The page the report comes from."},
        "channel_id": {"type": "string", "maxLength": 200, "description": "For rules that are limited to channels."},
        "idempotencyKey": {"type": "string", "maxLength": 255, "description": "Of this event, in a bulk."},
        "metadata": {"type": "object", "description": "Kept with the event; a rule may name an integer in it."},
    },
}
_EXAMPLE: Final = {
    "brandId": "0x00000000000000000000000000000000000000aa",
    "eventType": "purchase",
    "userEmail": "anna@example.org",
    "metadata": {"amount_cents": 1999},
}
_RATE_HEADERS: Final[dict[str, Any]] = {
    name: {"schema": {"type": "integer"}, "description": description}
    for name, description in (
        ("X-RateLimit-Limit", "Reports in the window."),
        ("X-RateLimit-Remaining", "Reports that are left in it."),
        ("X-RateLimit-Reset", "When it starts anew, in Unix seconds."),
    )
}
_HEADERS: Final[list[dict[str, Any]]] = [
    {"name": name, "in": "header", "required": False, "schema": schema, "description": description}
    for name, schema, description in (
        ("X-Loyalteez-Brand-Id", {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}, "The program; goes into the signature."),
        ("X-Loyalteez-Timestamp", {"type": "string", "pattern": "^[0-9]{1,15}$"}, "Unix milliseconds; at most 5 minutes old."),
        (
            "X-Loyalteez-Signature",
            {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
            "HMAC-SHA256, in hex, of `timestamp:brandId:rawBody` under the security key.",
        ),
        (
            "Idempotency-Key",
            {"type": "string", "minLength": 1, "maxLength": 255},
            "A repeat with the same key and body gets the first answer, for ever; with another body 409.",
        ),
    )
]
_PREFER: Final[dict[str, Any]] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ["wait=5"]},
    "description": "Wait up to so many seconds for the transaction's hash.",
}
_BULK_RESULT: Final[dict[str, Any]] = {
    "type": "object",
    "title": "BulkAnswer",
    "required": ["success", "processed", "failed", "results"],
    "properties": {
        "success": {"type": "boolean", "description": "Whether every event was accepted."},
        "processed": {"type": "integer"},
        "failed": {"type": "integer"},
        "results": {
            "type": "array",
            "description": "One for each event, in their order.",
            "items": {
                "anyOf": [
                    {"$ref": "#/components/schemas/EventAnswer"},
                    {"allOf": [{"$ref": "#/components/schemas/Error"}], "properties": {"success": {"const": False}}},
                ]
            },
        },
    },
}


def part() -> dict[str, Any]:
    """Paths and schemas of reports, as `kit/openapi.document` takes them."""
    _, schemas = msgspec.json.schema_components([EventAnswer], ref_template="#/components/schemas/{name}")
    return {
        "paths": {
            MANUAL_EVENT: {
                "post": _operation(
                    "report_event",
                    "Report an event",
                    "One report of what a person did. The answer comes after it is booked. Who sends it is proven by a "
                    "signature, an admin key, or a browser's Origin; `text/plain` with JSON in it is accepted too.",
                    {"application/json": {"schema": {"$ref": "#/components/schemas/Report"}, "example": _EXAMPLE}},
                    "#/components/schemas/EventAnswer",
                    [_PREFER],
                )
            },
            BULK_EVENTS: {
                "post": _operation(
                    "report_events",
                    "Report many events",
                    f"Up to {MAX_JSON_EVENTS} events as JSON, or {MAX_NDJSON_EVENTS:,} as NDJSON, a line each. Every event has "
                    "its own result; one that is refused harms no other.",
                    {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["events"],
                                "properties": {
                                    "events": {
                                        "type": "array",
                                        "minItems": 1,
                                        "maxItems": MAX_JSON_EVENTS,
                                        "items": {"$ref": "#/components/schemas/Report"},
                                    }
                                },
                            }
                        },
                        "application/x-ndjson": {"schema": {"type": "string", "description": "A report on each line."}},
                    },
                    "#/components/schemas/BulkAnswer",
                    [],
                )
            },
        },
        "components": {"schemas": {"Report": REPORT, "BulkAnswer": _BULK_RESULT, **schemas}},
    }


def _operation(
    name: str, summary: str, description: str, content: dict[str, Any], answer: str, more: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "tags": ["events"],
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": [*_HEADERS, *more],
        "requestBody": {"required": True, "content": content},
        # A signature and an Origin are headers, so nothing at all is a choice as well.
        "security": [{"adminKey": []}, {}],
        "responses": {
            "200": {
                "description": "Booked.",
                "headers": _RATE_HEADERS,
                "content": {"application/json": {"schema": {"$ref": answer}}},
            }
        },
    }
