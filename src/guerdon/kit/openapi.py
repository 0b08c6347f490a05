"""Makes the OpenAPI document true: our error body instead of the framework's, and the endpoints that are no framework routes.

The parts of plain ASGI endpoints are written by hand beside their schemas and merged in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Error",
    "required": ["error", "message", "code", "requestId"],
    "properties": {
        "error": {"type": "string", "description": "A title for people."},
        "message": {"type": "string", "description": "What is wrong and what to do next."},
        "code": {"type": "string", "description": "Stable; docs/errors.md lists them."},
        "details": {"description": "Which fields, and what would do."},
        "requestId": {"type": "string", "description": "Finds the request in the logs."},
    },
}
ERROR_RESPONSE: dict[str, Any] = {
    "description": "Refused; `code` says why.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_FRAMEWORKS = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI, parts: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The OpenAPI document of an application; `parts` are `{"paths": …, "components": {"schemas": …}}`. Connects to nothing."""
    made: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    paths: dict[str, Any] = made.setdefault("paths", {})
    schemas: dict[str, Any] = made.setdefault("components", {}).setdefault("schemas", {})
    for part in parts:
        for path, operations in part.get("paths", {}).items():
            paths.setdefault(path, {}).update(operations)
        for kind, named in part.get("components", {}).items():
            made["components"].setdefault(kind, {}).update(named)
    for name in _FRAMEWORKS:
        schemas.pop(name, None)
    schemas["Error"] = ERROR_SCHEMA
    for operations in paths.values():
        for method, operation in operations.items():
            if method in _METHODS:
                _tell_errors(operation)
    return made


def _tell_errors(operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation.setdefault("responses", {})
    responses.pop("422", None)
    told = ["400", *(["401", "403", "429"] if operation.get("security") else [])]
    for status in told:
        responses.setdefault(status, ERROR_RESPONSE)
    responses.setdefault("default", ERROR_RESPONSE)
