"""Which pages may call the event handler from a browser, and what the browser is told (DESIGN section 8).

Any origin whose host some program has registered may ask; that it is the program's own is checked with the report.
"""

from __future__ import annotations

from typing import Final

from guerdon.activity.calls import Answer, App, Call, Headers, Message, Receive, ScopeMap, Send, call_of, error_answer
from guerdon.activity.directory import Directory
from guerdon.activity.errors import DomainNotAuthorizedError
from guerdon.activity.schemas import host_of
from guerdon.programs.domains import LOOPBACK

PREFIX: Final = "/loyalteez-api/"

_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b", ".join(
            (
                b"authorization, content-type, idempotency-key, prefer, x-api-version, x-request-id",
                b"x-loyalteez-brand-id, x-loyalteez-signature, x-loyalteez-timestamp",
            )
        ),
    ),
    (b"access-control-max-age", b"600"),
)
_EXPOSED: Final = b", ".join(
    (
        b"idempotency-replayed, preference-applied, retry-after, x-request-id",
        b"x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
    )
)


class Origins:
    """Says of an origin whether it may ask, and in which headers."""

    def __init__(self, directory: Directory, *, development: bool = False) -> None:
        """`development`: whether pages of this machine may ask."""
        self._directory = directory
        self._development = development

    async def headers(self, origin: bytes) -> Headers:
        """What an answer to a page of this origin carries; without `access-control-allow-origin` if it may not ask."""
        headers: Headers = [(b"vary", b"Origin")]
        host = host_of(origin.decode("latin-1"))
        if host is None or (host in LOOPBACK and not self._development):
            return headers
        if await self._directory.is_anyones_domain(host):
            headers += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]
        return headers

    async def preflight(self, call: Call) -> Answer:
        """The answer to `OPTIONS`."""
        headers = await self.headers(call.header(b"origin"))
        if len(headers) == 1:
            answer = error_answer(DomainNotAuthorizedError(), call.request_id)
            answer.headers += headers
            return answer
        return Answer(204, b"", [*headers, *_PREFLIGHT])


class Cors:
    """ASGI middleware for those endpoints of the event handler that the application answers by ordinary routes."""

    def __init__(self, app: App, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: ScopeMap, receive: Receive, send: Send) -> None:
        """Answer a preflight; let everything else through, and tell the browser who may read the answer."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        call = call_of(scope)
        origin = call.header(b"origin")
        if not origin:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and call.header(b"access-control-request-method"):
            await (await self._origins.preflight(call)).send(send)
            return
        headers = await self._origins.headers(origin)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
