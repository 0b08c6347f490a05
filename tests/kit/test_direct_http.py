"""Direct answers over a real socket: what is taken, what goes the usual way, and that nothing a connection can do confuses them.

The handler and the application below say who answered: `direct` or `usual`.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.server import ServerState

from guerdon.kit.direct_http import Direct, Exchange, header_lines
from tests.support.http import listening

LIMIT = 1_000


@dataclass
class Kitchen:
    """Answers directly, at once or when told to; declines what is in `declined`."""

    held: list[Exchange] = field(default_factory=list[Exchange])
    holds: bool = False
    declined: bytes = b"decline"
    garnish: bytes = b""

    def handle(self, exchange: Exchange) -> bool:
        if exchange.body == self.declined:
            return False
        if self.holds:
            self.held.append(exchange)
        else:
            self.serve(exchange)
        return True

    def serve(self, exchange: Exchange) -> None:
        body = b"direct:" + exchange.body + self.garnish
        exchange.answer(200, header_lines([(b"content-length", b"%d" % len(body))]), body)


async def usual(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    said = b"" if scope["method"] == "HEAD" else b"usual:" + body
    headers = [(b"content-length", b"%d" % len(said)), (b"x-headers", b"%d" % len(scope["headers"]))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


class Line:
    """One connection, spoken to in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        status = int(head[0].split(" ")[1])
        length = 0 if status == 100 else int(headers["content-length"])
        return status, headers, await self._reader.readexactly(length)

    async def said(self) -> bytes:
        return (await self.answer())[2]

    async def ended(self) -> bool:
        return await asyncio.wait_for(self._reader.read(), 10) == b""


@dataclass
class House:
    kitchen: Kitchen
    state: ServerState
    host: str
    port: int
    lines: list[Line] = field(default_factory=list[Line])

    async def call(self) -> Line:
        self.lines.append(Line(*await asyncio.open_connection(self.host, self.port)))
        return self.lines[-1]

    async def until_held(self, number: int) -> None:
        while len(self.kitchen.held) < number:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def a_house(**options: Any) -> AsyncGenerator[House]:
    kitchen = Kitchen()
    async with listening(usual, {b"/eat": Direct(b"POST", LIMIT, kitchen.handle)}, **options) as (address, state):
        host, _, port = address.removeprefix("http://").partition(":")
        house = House(kitchen, state, host, int(port))
        try:
            yield house
        finally:
            for line in house.lines:
                line.writer.transport.abort()


def post(body: bytes, *lines: bytes, path: bytes = b"/eat", version: bytes = b"1.1") -> bytes:
    head = b"POST %b HTTP/%b\r\nHost: here\r\nContent-Length: %d\r\n" % (path, version, len(body))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


async def test_a_plain_request_is_answered_directly_and_the_connection_stays() -> None:
    async with a_house() as house:
        line = await house.call()
        house.state.default_headers = [(b"date", b"now")]
        for body in (b"one", b"", b"x" * LIMIT):
            line.send(post(body))
            status, headers, said = await line.answer()
            assert (status, said, headers["date"]) == (200, b"direct:" + body, "now")
            assert "connection" not in headers
        assert house.state.total_requests == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"soup", path=b"/eat?spicy"),
        post(b"soup", path=b"/drink"),
        post(b"soup").replace(b"POST", b"PUT"),
        post(b"soup", b"X-Twice: 1", b"X-Twice: 2"),
        b"POST /eat HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nso\r\n2\r\nup\r\n0\r\n\r\n",
        post(b"soup", b"Connection: close"),
        post(b"soup", version=b"1.0"),
    ],
    ids=["query", "path", "method", "header twice", "chunked", "close", "http 1.0"],
)
async def test_what_is_not_plain_goes_the_usual_way(request_bytes: bytes) -> None:
    async with a_house() as house:
        line = await house.call()
        line.send(request_bytes)
        _, headers, said = await line.answer()
        assert said == b"usual:soup"
        if b"close" in request_bytes or b"HTTP/1.0" in request_bytes:
            assert headers["connection"] == "close"
            assert await line.ended()
        else:
            line.send(post(b"more"))
            assert await line.said() == b"direct:more"


async def test_a_wish_for_another_protocol_goes_the_usual_way() -> None:
    async with a_house() as house:
        line = await house.call()
        line.send(post(b"soup", b"Upgrade: websocket", b"Connection: upgrade"))
        assert (await line.said()).startswith(b"usual:")


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_other_methods_go_the_usual_way(method: bytes) -> None:
    async with a_house() as house:
        line = await house.call()
        line.send(method + b" /eat HTTP/1.1\r\nHost: here\r\n\r\n", post(b"soup"))
        assert await line.said() == (b"" if method == b"HEAD" else b"usual:")
        # It came before the first was answered, so it goes the same way, and after it.
        assert await line.said() == b"usual:soup"


async def test_a_body_above_the_limit_goes_the_usual_way() -> None:
    async with a_house() as house:
        line = await house.call()
        line.send(post(b"x" * (LIMIT + 1)))
        assert await line.said() == b"usual:" + b"x" * (LIMIT + 1)


async def test_what_the_handler_declines_goes_the_usual_way_whole() -> None:
    async with a_house() as house:
        line = await house.call()
        line.send(post(b"decline", b"X-One: 1"), post(b"soup"))
        _, headers, said = await line.answer()
        assert (said, headers["x-headers"]) == (b"usual:decline", "3")
        assert await line.said() == b"usual:soup"
        line.send(post(b"soup"))
        assert await line.said() == b"direct:soup"


async def test_expect_100_continue_is_answered_before_the_body_comes() -> None:
    async with a_house() as house:
        line = await house.call()
        request = post(b"soup", b"Expect: 100-continue")
        line.send(request.removesuffix(b"soup"))
        assert (await line.answer())[0] == 100
        line.send(b"soup")
        assert await line.said() == b"usual:soup"


async def test_a_body_that_comes_slowly_is_put_together() -> None:
    async with a_house() as house:
        line = await house.call()
        for byte in post(b"slow soup"):
            line.send(bytes([byte]))
            await asyncio.sleep(0.001)
        assert await line.said() == b"direct:slow soup"


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with a_house() as house:
        house.kitchen.holds = True
        line = await house.call()
        line.send(post(b"1"), post(b"2"), b"GET /drink HTTP/1.1\r\nHost: here\r\n\r\n", post(b"3"))
        await house.until_held(1)
        assert [exchange.body for exchange in house.kitchen.held] == [b"1"]
        house.kitchen.serve(house.kitchen.held[0])
        assert [await line.said() for _ in range(4)] == [b"direct:1", b"usual:2", b"usual:", b"usual:3"]
        house.kitchen.holds = False
        line.send(post(b"4"))
        assert await line.said() == b"direct:4"


async def test_one_connection_after_the_other_answer_does_not_wait_for_a_slow_one() -> None:
    async with a_house() as house:
        house.kitchen.holds = True
        first, second = await house.call(), await house.call()
        first.send(post(b"1"))
        await house.until_held(1)
        second.send(post(b"2"))
        await house.until_held(2)
        for exchange in reversed(house.kitchen.held):
            house.kitchen.serve(exchange)
        assert (await first.said(), await second.said()) == (b"direct:1", b"direct:2")


@pytest.mark.parametrize("complete", [True, False])
async def test_a_client_that_leaves_harms_nobody(complete: bool) -> None:
    async with a_house() as house:
        house.kitchen.holds = True
        line = await house.call()
        line.send(post(b"soup") if complete else post(b"soup")[:-1])
        if complete:
            await house.until_held(1)
        line.writer.transport.abort()
        while house.state.connections:
            await asyncio.sleep(0.005)
        for exchange in house.kitchen.held:
            assert exchange.disconnected
            house.kitchen.serve(exchange)
        assert len(house.kitchen.held) == complete
        house.kitchen.holds = False
        other = await house.call()
        other.send(post(b"soup"))
        assert await other.said() == b"direct:soup"


async def test_broken_bytes_are_400_and_the_end() -> None:
    async with a_house() as house:
        line = await house.call()
        line.send(post(b"soup"))
        assert await line.said() == b"direct:soup"
        line.send(b"nonsense\r\n\r\n")
        status, headers, _ = await line.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert await line.ended()


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    async with a_house(timeout_keep_alive=1) as house:
        idle, waiting = await house.call(), await house.call()
        for line in (idle, waiting):
            line.send(post(b"soup"))
            assert await line.said() == b"direct:soup"
        house.kitchen.holds = True
        waiting.send(post(b"late"))
        await house.until_held(1)
        assert await idle.ended()
        await asyncio.sleep(0.5)
        house.kitchen.serve(house.kitchen.held[0])
        assert await waiting.said() == b"direct:late"
        assert await waiting.ended()


async def test_requests_in_between_keep_a_connection_alive_whichever_way_they_go() -> None:
    async with a_house(timeout_keep_alive=1) as house:
        line = await house.call()
        for body in (b"soup", b"decline", b"soup", b"decline"):
            line.send(post(body))
            assert (await line.said()).endswith(body)
            await asyncio.sleep(0.6)
        line.send(post(b"last"))
        assert await line.said() == b"direct:last"
        assert await line.ended()


@pytest.mark.parametrize("complete", [True, False])
async def test_a_request_that_runs_when_the_server_stops_is_answered_and_ends_its_connection(complete: bool) -> None:
    async with a_house() as house:
        house.kitchen.holds = complete
        line, idle = await house.call(), await house.call()
        idle.send(post(b"decline"))
        assert await idle.said() == b"usual:decline"
        request = post(b"soup")
        line.send(request if complete else request[:-2])
        if complete:
            await house.until_held(1)
        else:
            await asyncio.sleep(0.05)
        for connection in list(house.state.connections):
            connection.shutdown()
        assert await idle.ended()
        if complete:
            house.kitchen.serve(house.kitchen.held[0])
        else:
            line.send(request[-2:])
        _, headers, said = await line.answer()
        assert (said, headers["connection"]) == (b"direct:soup", "close")
        assert await line.ended()


async def test_a_declined_request_ends_its_connection_too_when_the_server_stops() -> None:
    async with a_house() as house:
        line = await house.call()
        request = post(b"decline")
        line.send(request[:-2])
        await asyncio.sleep(0.05)
        for connection in list(house.state.connections):
            connection.shutdown()
        line.send(request[-2:])
        _, headers, said = await line.answer()
        assert (said, headers["connection"]) == (b"usual:decline", "close")


async def test_while_the_server_drains_each_answer_ends_its_connection() -> None:
    async with a_house() as house:
        line = await house.call()
        house.state.default_headers = [(b"connection", b"close")]
        line.send(post(b"soup"))
        _, headers, said = await line.answer()
        assert (said, headers["connection"]) == (b"direct:soup", "close")
        assert await line.ended()


async def test_answers_that_nobody_reads_stop_the_reading() -> None:
    async with a_house() as house:
        house.kitchen.garnish = b"y" * 300_000
        line = await house.call()
        request = post(b"soup")
        for _ in range(400):
            line.send(request)
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        served = house.state.total_requests
        assert served < 400
        # As soon as they are read, it goes on.
        answers = {(await line.said())[:8] for _ in range(400)}
        assert answers <= {b"direct:s", b"usual:so"}


def test_the_private_parts_of_uvicorn_are_those_that_this_was_written_for() -> None:
    """Another version may work as well: read what changed in these, then say so here and in `pyproject.toml`."""
    assert uvicorn.__version__ == "0.54.0"
    parts = (
        httptools_impl.HttpToolsProtocol,
        httptools_impl.RequestResponseCycle,
        flow_control.FlowControl,
        ServerState,
        uvicorn.Server.on_tick,
        uvicorn.Server.shutdown,
    )
    source = "".join(inspect.getsource(part) for part in parts)
    assert hashlib.sha256(source.encode()).hexdigest() == "a62843b35057800c7458ee114c27fe5bd923a63aacb485be1cfd879f73cf32ba"
