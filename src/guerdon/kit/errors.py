"""Typed errors: each small class carries its HTTP status and stable code, and says to its reader what to do next.

    GuerdonError
    ├── the classes below, for what every endpoint can answer
    └── those of each domain's `errors.py`

They are rendered in one place, `render`, to `{error, message, code, details?, requestId}` (DESIGN section 8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

Details = Sequence[Any] | Mapping[str, Any] | str

_registry: dict[str, type[GuerdonError]] = {}


class GuerdonError(Exception):
    """Base of everything that is told to a caller.

    Subclasses are declared with their status, code and title, as those below. The docstring is the default message and the
    entry in `docs/errors.md`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls, *, status: int, code: str, title: str, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        known = _registry.get(code)
        if known is not None and known.__qualname__ != cls.__qualname__:
            message = f"error code {code} belongs to {known.__module__}.{known.__qualname__}"
            raise TypeError(message)
        if not cls.__doc__:
            message = f"{cls.__qualname__} needs a docstring: it is the default message"
            raise TypeError(message)
        cls.status, cls.code, cls.title = status, code, title
        _registry[code] = cls

    def __init__(self, message: str | None = None, *, details: Details | None = None, retry_after: int | None = None) -> None:
        """`retry_after` is in seconds and becomes the `Retry-After` header."""
        self.message = message or " ".join((type(self).__doc__ or self.title).split())
        self.details = details
        self.retry_after = retry_after
        super().__init__(self.message)


class InvalidRequestError(GuerdonError, status=400, code="INVALID_REQUEST", title="Invalid request"):
    """The request is malformed; `details` names the field and what it should be."""


class NotFoundError(GuerdonError, status=404, code="NOT_FOUND", title="Not found"):
    """Nothing is known under this name."""


class MethodNotAllowedError(GuerdonError, status=405, code="METHOD_NOT_ALLOWED", title="Method not allowed"):
    """This address does not answer that method."""


class ConflictError(GuerdonError, status=409, code="CONFLICT", title="Conflict"):
    """The request does not fit the present state; read it again and decide anew."""


class IdempotencyConflictError(GuerdonError, status=409, code="IDEMPOTENCY_CONFLICT", title="Idempotency conflict"):
    """This idempotency key was used with another body; a new request needs a new key."""


class PayloadTooLargeError(GuerdonError, status=413, code="PAYLOAD_TOO_LARGE", title="Payload too large"):
    """The body is larger than this endpoint takes."""


class UnsupportedMediaTypeError(GuerdonError, status=415, code="UNSUPPORTED_MEDIA_TYPE", title="Unsupported media type"):
    """This endpoint does not take a body of that content type."""


class RateLimitedError(GuerdonError, status=429, code="RATE_LIMITED", title="Rate limit exceeded"):
    """Too many requests; wait for the time given in `Retry-After`."""


class InternalError(GuerdonError, status=500, code="INTERNAL_ERROR", title="Internal error"):
    """Something went wrong on our side; the request id finds it in the logs."""


class UnavailableError(GuerdonError, status=503, code="UNAVAILABLE", title="Service unavailable"):
    """The service is busy or starting; send the same request again after `Retry-After`."""


class DatabaseUnavailableError(GuerdonError, status=503, code="DATABASE_UNAVAILABLE", title="Service unavailable"):
    """The database can't be reached; send the same request again after `Retry-After`."""

    def __init__(self, message: str | None = None, *, details: Details | None = None, retry_after: int | None = 1) -> None:
        super().__init__(message, details=details, retry_after=retry_after)


def registered_errors() -> list[type[GuerdonError]]:
    """Every error class that was imported, by status and code; `docs/errors.md` is written from it."""
    return sorted(_registry.values(), key=lambda error: (error.status, error.code))


def render(error: GuerdonError, request_id: str) -> dict[str, Any]:
    """The JSON body of an error answer."""
    body: dict[str, Any] = {
        "error": error.title,
        "message": error.message,
        "code": error.code,
        "requestId": request_id,
    }
    if error.details is not None:
        body["details"] = error.details
    return body


def response_headers(error: GuerdonError) -> dict[str, str]:
    """The headers that an error answer carries besides those of every answer."""
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
