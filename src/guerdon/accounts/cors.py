"""Which pages may call the members' API from a browser (any whose host some program has registered, DESIGN section 8), and that
nobody on the way keeps its answers.

They send bearer tokens: cookies are never let in (no `allow-credentials`). That a page is the program's own is asked where it
matters, by `origins.py`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from guerdon.accounts import repository_members
from guerdon.accounts.errors import OriginNotAllowedError
from guerdon.accounts.origins import host_of, is_own
from guerdon.kit.api import Services
from guerdon.kit.web import answer
from guerdon.programs.domains import LOOPBACK
from guerdon.settings import Environment

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIXES: Final = ("/api/rewards", "/api/auth")
_KNOWN_FOR_SECONDS: Final = 30
_MOST_KNOWN: Final = 1_000
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-loyalteez-brand-id, x-request-id",
    "Access-Control-Max-Age": "600",
}
_EXPOSED: Final = "retry-after, x-request-id"


class MemberCors:
    """ASGI middleware: answers preflights of members' endpoints, and tells browsers who may read their answers."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._known: dict[str, tuple[float, bool]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or pass a request on."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIXES):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        # What is one member's is kept by no cache on the way.
        told = {"Vary": "Origin", "Cache-Control": "no-store"}
        if origin is not None and await self._may_ask(scope["app"].state.runtime, origin):
            told |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}
        if origin is not None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            if "Access-Control-Allow-Origin" not in told:
                refused = answer(OriginNotAllowedError(), str(scope.get("state", {}).get("request_id", "")))
                refused.headers.update(told)
                await refused(scope, receive, send)
            else:
                await Response(status_code=204, headers={**told, **_PREFLIGHT})(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _may_ask(self, running: Services, origin: str) -> bool:
        host = host_of(origin)
        if host is None or (host in LOOPBACK and running.settings.environment is not Environment.DEVELOPMENT):
            return False
        if is_own(running.settings, origin):
            return True
        known = self._known.get(host)
        now = time.monotonic()
        if known is None or known[0] < now:
            async with running.database.platform() as session:
                found = await repository_members.is_anyones_domain(session, _domains_over(host))
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[host] = (now + _KNOWN_FOR_SECONDS, found)
        return known[1]


def _domains_over(host: str) -> list[str]:
    """Under which domains a host would be registered: itself, and `*.` of each parent."""
    labels = host.split(".")
    return [host, *(f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels)))]
