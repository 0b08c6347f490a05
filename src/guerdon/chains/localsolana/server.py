"""The node's HTTP side: POST with one JSON-RPC call or a batch of them, of bounded size."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, cast

import msgspec
import structlog
import uvicorn

from guerdon.chains.localsolana import methods, methods_transactions
from guerdon.chains.localsolana.chain import LocalSolana
from guerdon.chains.localsolana.errors import RpcFaultError, invalid
from guerdon.chains.localsolana.methods import Call, Method
from guerdon.chains.localsolana.parameters import Parameters

MOST_BYTES: Final = 50 * 1024
"""Of a request, as nodes have it by default."""
_MOST_CALLS: Final = 100
_METHODS: Final[dict[str, Method]] = {**methods.METHODS, **methods_transactions.METHODS}
_log = structlog.stdlib.get_logger("guerdon.localsolana")

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Node:
    """An ASGI application that answers for one chain."""

    def __init__(self, chain: LocalSolana) -> None:
        self.chain = chain

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET" and scope["path"] == "/health":
            await _respond(send, 200, b"ok", b"text/plain")
            return
        if scope["method"] != "POST":
            await _respond(send, 405, b"Used HTTP Method is not allowed. POST or OPTIONS is required\n", b"text/plain")
            return
        if not _is_json(scope["headers"]):
            told = b"Supplied content type is not allowed. Content-Type: application/json is required\n"
            await _respond(send, 415, told, b"text/plain")
            return
        body = await _body(receive)
        if body is None:
            await _respond(send, 413, b"request body too large\n", b"text/plain")
            return
        await _respond(send, 200, await self.answer(body), b"application/json")

    async def answer(self, body: bytes) -> bytes:
        """The answer to a request's body."""
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return msgspec.json.encode(_error(None, RpcFaultError(-32700, "Parse error")))
        if not isinstance(asked, list):
            return msgspec.json.encode(await self._one(asked))
        if not 0 < len(asked) <= _MOST_CALLS:  # pyright: ignore[reportUnknownArgumentType]
            return msgspec.json.encode(
                _error(None, RpcFaultError(-32600, f"Invalid request: 1 to {_MOST_CALLS} calls in a batch"))
            )
        # One after the other, as whoever sent them wrote them.
        return msgspec.json.encode([await self._one(one) for one in asked])  # pyright: ignore[reportUnknownVariableType]

    async def _one(self, asked: Any) -> dict[str, Any]:
        if not isinstance(asked, dict):
            return _error(None, RpcFaultError(-32600, "Invalid request"))
        number: Any = asked.get("id")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        name: Any = asked.get("method")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        given: Any = asked.get("params")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        try:
            result = await self._result(name, given)
        except RpcFaultError as fault:
            return _error(number, fault)
        except Exception as error:  # noqa: BLE001 - a fault of this program is told as a node tells its own
            _log.exception("localsolana.call_failed", method=name, error=type(error).__name__)
            return _error(number, RpcFaultError(-32603, "Internal error"))
        return {"jsonrpc": "2.0", "result": result, "id": number}

    async def _result(self, name: Any, given: Any) -> Any:
        if self.chain.is_broken:
            raise RpcFaultError(-32005, "Node is unhealthy", {"numSlotsBehind": None})
        method = _METHODS.get(name) if isinstance(name, str) else None
        if method is None:
            raise RpcFaultError(-32601, "Method not found")
        if given is not None and not isinstance(given, list):
            raise invalid("Invalid params: parameters are a list.")
        result = method(Call(self.chain, Parameters(name, cast("list[Any]", given or []), self.chain.slots)))
        return await result if inspect.isawaitable(result) else result


@asynccontextmanager
async def serving(chain: LocalSolana, port: int = 0) -> AsyncGenerator[str]:
    """Serve the chain at a port of this machine, any free one with 0; the address, once it answers."""
    # Named TCP, so that asyncio sets TCP_NODELAY: without it each answer would wait 40 ms for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
        config = uvicorn.Config(
            Node(chain),  # pyright: ignore[reportArgumentType]
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            # What listens already: a call made before the server runs waits in its queue.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await task


class _Server(uvicorn.Server):
    """Signals are for whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave them alone."""
        yield


def _error(number: Any, fault: RpcFaultError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": fault.as_json(), "id": number}


def _is_json(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value.startswith(b"application/json") for name, value in headers)


async def _body(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _respond(send: Send, status: int, body: bytes, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
