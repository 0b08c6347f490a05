"""An HTTP call as intake sees it, whatever framework carries it: headers, body, the caller's address; and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from guerdon.activity.errors import InvalidEventError, MissingFieldsError
from guerdon.kit.direct_http import Exchange, header_lines
from guerdon.kit.errors import GuerdonError, PayloadTooLargeError, UnsupportedMediaTypeError, render, response_headers
from guerdon.kit.web import request_id_of

ScopeMap = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
App = Callable[[ScopeMap, Receive, Send], Awaitable[None]]
"""An ASGI application."""

NDJSON: Final = b"application/x-ndjson"
_JSON_TYPES: Final = frozenset({b"", b"application/json", b"text/plain", b"application/x-www-form-urlencoded"})

encode: Final = msgspec.json.Encoder().encode


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(slots=True)
class Call:
    """One request. Header names are in lower case; a header given twice is joined by a comma."""

    headers: dict[bytes, bytes]
    peer: str
    """The address of the other end of the connection."""
    request_id: str
    body: bytes = b""

    def header(self, name: bytes) -> bytes:
        """The value of a header, or nothing."""
        return self.headers.get(name, b"")

    def text(self, name: bytes) -> str | None:
        """The value of a header as text; None if it is absent or empty."""
        value = self.headers.get(name)
        return value.decode("latin-1").strip() or None if value else None

    @property
    def content_type(self) -> bytes:
        """The media type without parameters, in lower case."""
        return self.header(b"content-type").partition(b";")[0].strip().lower()

    def require_json(self) -> None:
        """Refuse what is no JSON; what pages send without a preflight (`text/plain` from `sendBeacon`) is accepted as JSON."""
        if self.content_type not in _JSON_TYPES:
            raise UnsupportedMediaTypeError


def call_of(scope: ScopeMap, body: bytes = b"") -> Call:
    """The call that an ASGI scope is the head of."""
    headers = headers_of(scope["headers"])
    client = scope.get("client")
    known = scope.get("state", {}).get("request_id")
    return Call(headers, client[0] if client else "", known or request_id_of(scope["headers"]), body)


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name."""
    headers: dict[bytes, bytes] = {}
    for name, value in raw:
        headers[name] = value if name not in headers else headers[name] + b"," + value
    return headers


def headers_as_bytes(headers: Mapping[str, str]) -> Headers:
    """Headers in the form in which they are sent."""
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The request's body, of `limit` bytes at most. Raises `PayloadTooLargeError` as soon as there are more."""
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > limit:
        raise PayloadTooLargeError(f"The body is larger than {limit} bytes.")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise PayloadTooLargeError(f"The body is larger than {limit} bytes.")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=Headers)

    @property
    def all_headers(self) -> Headers:
        """Its headers, with those that tell of the body."""
        if not self.body:
            return self.headers
        return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body)), *self.headers]

    async def send(self, send: Send) -> None:
        """Send it as an ASGI application does."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.all_headers})
        await send({"type": "http.response.body", "body": self.body})

    def send_directly(self, exchange: Exchange) -> None:
        """Send it on the connection that the request came on."""
        exchange.answer(self.status, header_lines(self.all_headers), self.body)


def error_body(error: GuerdonError, request_id: str) -> dict[str, Any]:
    """An error as callers of the event handler know it: some of them read `errors`, some `details`."""
    body = render(error, request_id)
    if isinstance(error, InvalidEventError | MissingFieldsError) and isinstance(error.details, list):
        body["errors"] = [f"{problem['field']} {problem['message']}" for problem in error.details]
    return body


def error_answer(error: GuerdonError, request_id: str) -> Answer:
    """The answer that an error makes."""
    answer = Answer(error.status, encode(error_body(error, request_id)), headers_as_bytes(response_headers(error)))
    if isinstance(error, PayloadTooLargeError):
        # Whoever goes on sending is not read to the end.
        answer.headers.append((b"connection", b"close"))
    return answer
