"""What every HTTP endpoint shares: request ids, access logs, metrics, and errors rendered in one place.

Which endpoints there are is `app.py`; what an error says is `kit/errors.py`; paging and repeats are `kit/api.py`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guerdon.kit import errors
from guerdon.kit.database import LOCK_NOT_AVAILABLE, RETRYABLE, sqlstate
from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import uuid7

log = structlog.get_logger("guerdon.http")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_UNTRANSLATABLE = frozenset({"22021", "22P05", "22P02"})
"""SQLSTATEs of text that PostgreSQL can't store, U+0000 above all (SAFETY S9)."""
_OUT_OF_RANGE = frozenset({"22003", "22008"})
_STATEMENT_TIMEOUT = "57014"
_TRY_AGAIN = RETRYABLE | {LOCK_NOT_AVAILABLE, _STATEMENT_TIMEOUT}
"""Somebody else held what this request needed; it changed nothing, and may be sent again."""
_PROBES = frozenset({"/live", "/ready", "/metrics"})
_FIRST_SERVER_ERROR = 500

requests_total = Counter("guerdon_http_requests_total", "Answers, by route and status.", ["method", "route", "status"])
request_seconds = Histogram(
    "guerdon_http_request_seconds",
    "Time from a request's headers to the end of its answer.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's `X-Request-Id` if it is 8 to 64 harmless characters, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return str(uuid7())


class RequestLog:
    """ASGI middleware, outermost: gives each request an id, says it back, logs and counts the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 0
        complete = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode("ascii"))]
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # Starlette raises an unexpected error again after it was answered; an answer broken off ends the connection.
            if not status:
                log.exception("request_failed", error=type(error).__name__)
                await answer(errors.InternalError(), request_id)(scope, receive, send_with_id)
            elif not complete:
                raise
        finally:
            _account(scope, status, time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id")


class BodyLimit:
    """ASGI middleware: answers 413 to a body that is larger than `limit` bytes, told by its length or found while reading."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = answer(errors.PayloadTooLargeError(f"A body here has at most {self._limit} bytes."), request_id(request))
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self._limit:
            await refusal(scope, receive, send)
            return
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            # The rest is not read: whoever parses gets an end, and what it answers is replaced below.
            return {"type": "http.request", "body": b"", "more_body": False} if read > self._limit else message

        refused = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal refused
            if read > self._limit and not refused and message["type"] == "http.response.start":
                refused = True
                await refusal(scope, receive, send)
            elif not refused:
                await send(message)

        await self._app(scope, receive_counted, send_or_refuse)


def _account(scope: Scope, status: int, seconds: float) -> None:
    route = scope.get("route")
    # The template and never the path: a label with ids in it would be a new time series a request.
    name = getattr(route, "path", None) or "unknown"
    requests_total.labels(scope["method"], name, str(status)).inc()
    request_seconds.labels(name).observe(seconds)
    client = scope.get("client")
    # Probes come every few seconds and say nothing unless something is wrong.
    log.log(
        logging.DEBUG if name in _PROBES and status < _FIRST_SERVER_ERROR else logging.INFO,
        "request",
        method=scope["method"],
        route=name,
        path=scope["path"],
        status=status,
        duration_ms=round(seconds * 1000, 1),
        client=client[0] if client else None,
    )


def request_id(request: Request) -> str:
    """The id of the request that is being answered."""
    known: str | None = getattr(request.state, "request_id", None)
    return known or str(uuid7())


def render_errors(app: FastAPI) -> None:
    """Make the application answer every error as `kit/errors.py` renders it."""
    # Starlette looks the handler up by the class of the error and its bases, so one handler a family is enough.
    app.add_exception_handler(GuerdonError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_error)
    app.add_exception_handler(HTTPException, _on_error)
    app.add_exception_handler(DBAPIError, _on_error)
    app.add_exception_handler(UnicodeEncodeError, _on_error)
    app.add_exception_handler(Exception, _on_error)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    known = typed(error)
    if known is None:
        log.error("request_failed", error=type(error).__name__, exc_info=error)
        known = errors.InternalError()
    headers = error.headers if isinstance(error, HTTPException) else None
    return answer(known, request_id(request), headers)


def answer(error: GuerdonError, request_id: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that an error makes."""
    extra = {name: value for name, value in (headers or {}).items() if name.lower() in {"allow", "www-authenticate"}}
    if error.status == 401:  # noqa: PLR2004 - HTTP
        extra.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(errors.render(error, request_id), error.status, headers={**extra, **errors.response_headers(error)})


def typed(error: BaseException) -> GuerdonError | None:
    """What a caller is told of `error`; None if that is nothing but an internal error."""
    match error:
        case GuerdonError():
            return error
        case RequestValidationError():
            return errors.InvalidRequestError(details=[_problem(problem) for problem in error.errors()])
        case HTTPException():
            return _from_status(error)
        case _:
            return _from_database(error)


def _from_status(error: HTTPException) -> GuerdonError:
    match error.status_code:
        case 404:
            return errors.NotFoundError("There is nothing at this address; the endpoints are listed in /openapi.json.")
        case 405:
            return errors.MethodNotAllowedError()
        case 413:
            return errors.PayloadTooLargeError()
        case 415:
            return errors.UnsupportedMediaTypeError()
        case status if 400 <= status < 500:  # noqa: PLR2004 - HTTP
            return errors.InvalidRequestError(str(error.detail))
        case _:
            return errors.InternalError()


def _from_database(error: BaseException) -> GuerdonError | None:
    state = sqlstate(error)
    if state in _UNTRANSLATABLE or isinstance(error, UnicodeEncodeError):
        return errors.InvalidRequestError("A text has a character that can't be stored, such as U+0000.")
    if state in _OUT_OF_RANGE:
        return errors.InvalidRequestError("A number or a time is out of range.")
    if state in _TRY_AGAIN:
        return errors.UnavailableError(retry_after=1)
    return None


def _problem(problem: Mapping[str, Any]) -> dict[str, str]:
    """One failed check, without the value: it may be a secret, and the caller knows what was sent."""
    place = [str(part) for part in problem["loc"] if part not in {"body", "query", "path", "header"}]
    return {"field": ".".join(place) or str(problem["loc"][0]), "message": str(problem["msg"])}
