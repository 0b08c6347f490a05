"""Answers plain requests to a few addresses straight from the connection: no ASGI scope, no task, no future, one write each.

A subclass of uvicorn's protocol, whose private parts it rests on: the version is pinned, and `tests/kit/test_direct_http.py` says
which parts. It takes only what is plain (`_is_plain`); everything else, and what its handler declines, goes the usual way
through the application. It knows nothing of what is asked or answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

Headers = Iterable[tuple[bytes, bytes]]
_CLOSE: Final = b"connection: close\r\n"


class Exchange:
    """One complete request, and the way to answer it: once, from the event loop, whenever the answer is known.

    On the connection it stands where uvicorn has its cycle, so it bears the names that uvicorn looks at.
    """

    __slots__ = ("_protocol", "body", "disconnected", "headers", "keep_alive", "response_complete")

    def __init__(self, protocol: DirectProtocol, headers: dict[bytes, bytes]) -> None:
        self._protocol = protocol
        self.headers = headers
        """By name in lower case; each came once."""
        self.body = b""
        self.keep_alive = True
        self.response_complete = False
        self.disconnected = False

    @property
    def peer(self) -> str:
        """The address of the other end of the connection."""
        client = self._protocol.client
        return client[0] if client else ""

    @property
    def message_event(self) -> Exchange:
        """What uvicorn sets when something happened to a request that is read piece by piece: nobody waits here."""
        return self

    def set(self) -> None:
        """See `message_event`."""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Send the answer; `headers` are whole lines (`header_lines`). Nobody gets it where the client has gone."""
        self.response_complete = True
        self._protocol.send_answer(self, status, headers, body)


Handle = Callable[[Exchange], bool]
"""Takes a complete request and answers it now or later; or declines it by False, and the application gets it."""


@dataclass(frozen=True, slots=True)
class Direct:
    """A method of an address that is answered directly, for bodies of `body_limit` bytes at most."""

    method: bytes
    body_limit: int
    handle: Handle


Routes = Mapping[bytes, Direct]
"""By path, as it is sent."""


def header_lines(headers: Headers) -> bytes:
    """Headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class _ServerHeaders:
    """What the server adds to each answer (its date, above all), rendered once a second."""

    def __init__(self) -> None:
        self._rendered: list[tuple[bytes, bytes]] | None = None
        self._lines = b""
        self._close = False

    def of(self, state: ServerState) -> tuple[bytes, bool]:
        """The lines, and whether they end the connection."""
        headers = state.default_headers
        if headers is not self._rendered:
            # uvicorn and `kit/serving.py` make a new list for every change.
            self._lines = header_lines(headers)
            self._close = (b"connection", b"close") in headers
            self._rendered = headers
        return self._lines, self._close


class DirectProtocol(HttpToolsProtocol):
    """One connection. `direct_protocol` makes the class for a set of routes."""

    routes: Routes = {}  # noqa: RUF012 - set by `direct_protocol`, and never changed here
    server_headers = _ServerHeaders()

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._route: Direct | None = None
        """Of the request that is being read, if it is a plain one."""
        self._exchange: Exchange | None = None
        self._parts: list[bytes] = []
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    # What httptools calls while it parses.

    def on_message_begin(self) -> None:
        """A request begins. uvicorn would make its scope here; a plain one needs none."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._route = None

    def on_headers_complete(self) -> None:
        """Decide which way the request goes."""
        route = self.routes.get(self.url)
        headers = None if route is None else self._plain_headers(route)
        if route is None or headers is None:
            self._begin_as_usual()
            return
        self._route = route
        self._exchange = self.cycle = Exchange(self, headers)  # pyright: ignore[reportAttributeAccessIssue]

    def on_body(self, body: bytes) -> None:
        """A part of the body; its size was announced and is within the limit."""
        if self._route is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is complete: hand it over."""
        route, exchange = self._route, self._exchange
        if route is None or exchange is None:
            super().on_message_complete()
            return
        self._route = self._exchange = None
        parts = self._parts
        exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if not route.handle(exchange):
            self._pass_on(exchange)

    def _plain_headers(self, route: Direct) -> dict[bytes, bytes] | None:
        """The headers by name, if this is a plain request for the route; None if it has to go the usual way."""
        parser, earlier = cast("Any", self.parser), cast("Any", self.cycle)
        if (
            parser.get_method() != route.method
            or (earlier is not None and not earlier.response_complete)  # sent before its predecessor is answered
            or self.flow.write_paused  # answers pile up, because the client does not read them
            or self.expect_100_continue
            or self.limit_concurrency is not None
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or parser.should_upgrade()
        ):
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length")
        if len(headers) != len(self.headers) or length is None or b"transfer-encoding" in headers:
            return None
        return headers if int(length) <= route.body_limit else None

    def _begin_as_usual(self) -> None:
        """What uvicorn does when the headers are complete, with what it does at the beginning of a request."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = expects
        super().on_headers_complete()

    def _pass_on(self, exchange: Exchange) -> None:
        """The usual way for a request that is complete already."""
        self.cycle = None  # pyright: ignore[reportAttributeAccessIssue]
        self._begin_as_usual()
        if not exchange.keep_alive:
            self.cycle.keep_alive = False
        if exchange.body:
            super().on_body(exchange.body)
        super().on_message_complete()

    # The answer, and the rest until the next request.

    def send_answer(self, exchange: Exchange, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole answer at once, and see to what comes after it."""
        transport = self.transport
        if transport.is_closing():
            return
        lines, closes = self.server_headers.of(self.server_state)
        stays = exchange.keep_alive and not closes
        transport.write(b"".join((STATUS_LINE[status], lines, headers, b"\r\n" if stays or closes else _CLOSE + b"\r\n", body)))
        if not stays:
            transport.close()
        if self.pipeline or self.flow.read_paused or not stays:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        """Close a connection on which nothing has come for as long as uvicorn keeps one alive.

        One timer looks again and again, instead of one being set and cancelled for each request.
        """
        self._idle_timer = None
        if self._idle_since is None or self.transport.is_closing():
            # A request is under way: its answer sets the timer anew.
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(left, self._look_whether_idle)

    def _unset_keepalive_if_required(self) -> None:
        """Something came, or the connection ends: it is not idle. uvicorn calls this in each of these cases."""
        self._idle_since = None
        super()._unset_keepalive_if_required()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; what was asked is still carried out, and its answer goes nowhere."""
        super().connection_lost(exc)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None


def direct_protocol(routes: Routes) -> type[DirectProtocol]:
    """The protocol for these routes, as uvicorn's `http` takes it. `routes` may be filled later."""
    return type("DirectProtocol", (DirectProtocol,), {"routes": routes, "server_headers": _ServerHeaders()})
