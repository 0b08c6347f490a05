"""Calls of Guerdon's own HTTP API, as any client makes them; while the web process is being restarted they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from guerdon.demo.errors import DemoError

_PATIENCE_SECONDS = 60
_PAUSE_SECONDS = 0.3
_LATER = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Api:
    """One caller: anybody, or whoever the token is of; about one program, once it is named."""

    client: httpx.AsyncClient
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def of(self, *, token: str | None = None, program: str | None = None) -> Api:
        """The same with a token, or about a program (its brand id)."""
        said = {"Authorization": None if token is None else f"Bearer {token}", "X-Loyalteez-Brand-Id": program}
        return Api(self.client, {**self.headers, **{name: value for name, value in said.items() if value is not None}})

    async def __call__(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """What is answered. A write that may be sent twice carries a `key`. Raises `DemoError`."""
        headers = dict(self.headers) if key is None else {**self.headers, "Idempotency-Key": key}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                answer = await self.client.request(method, path, headers=headers, json=body)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__} {error}".strip()
            else:
                if answer.is_success:
                    return answer.json() if answer.content else None
                reason = f"{answer.status_code} {answer.text[:500]}"
                if answer.status_code not in _LATER:
                    raise DemoError(f"{method} {path} was answered {reason}")
            if time.monotonic() > deadline:
                raise DemoError(f"{method} {path} got no answer for {_PATIENCE_SECONDS} s: {reason}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def items(self, path: str) -> AsyncGenerator[dict[str, Any]]:
        """Everything of a list, page by page."""
        cursor = ""
        while True:
            page = await self("GET", f"{path}?limit=100{cursor}")
            for item in page["items"]:
                yield item
            following = page.get("nextCursor", page.get("next_cursor"))
            if following is None:
                return
            cursor = f"&cursor={following}"
