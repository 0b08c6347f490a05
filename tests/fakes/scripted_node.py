"""A JSON-RPC server whose every answer is told by the test: what a node that lags, lies, breaks or floods may say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from guerdon.chains.evm import EvmClient

Reply = Callable[[Any], bytes | None]
"""From the request's JSON to the whole HTTP answer; None ends the connection."""


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def result(value: Any) -> Reply:
    """An answer in good form, with this as every call's result."""

    def reply(asked: Any) -> bytes:
        calls = asked if isinstance(asked, list) else [asked]
        answers = [{"jsonrpc": "2.0", "id": call["id"], "result": value} for call in calls]
        return http(json.dumps(answers if isinstance(asked, list) else answers[0]).encode())

    return reply


def by_method(values: dict[str, Any]) -> Reply:
    """Results by method; a dictionary with `code` is an error."""

    def one(call: Any) -> dict[str, Any]:
        value = values[call["method"]]
        key = "error" if isinstance(value, dict) and "code" in value else "result"
        return {"jsonrpc": "2.0", "id": call["id"], key: value}

    return lambda asked: http(json.dumps([one(call) for call in asked] if isinstance(asked, list) else one(asked)).encode())


class Node:
    """A node that answers each request as it is told; the last reply serves all that follow."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.requests: list[Any] = []
        self.url = ""
        self._connections: set[asyncio.Task[None]] = set()

    def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def close(self) -> None:
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length))
                self.requests.append(asked)
                answer = (self._replies.pop(0) if len(self._replies) > 1 else self._replies[0])(asked)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def node(*replies: Reply) -> AsyncIterator[Node]:
    made = Node(*replies)
    server = await asyncio.start_server(made.connect, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/secret-token"
    try:
        yield made
    finally:
        server.close()
        await made.close()


@asynccontextmanager
async def asking(*replies: Reply, **limits: Any) -> AsyncIterator[tuple[EvmClient, Node]]:
    async with node(*replies) as made, EvmClient(made.url, **limits) as client:
        yield client, made


def raw(body: bytes, status: str = "200 OK", headers: str = "") -> Reply:
    return lambda _: http(body, status, headers)
