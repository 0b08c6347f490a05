"""A JSON-RPC proxy that gets in the way on purpose: between a client and a real node, with faults that a test programs.

    async with RpcProxy(node_url) as proxy:
        proxy.add(lose_answer("eth_sendRawTransaction"))          # once
        held = proxy.add(hold("eth_estimateGas"))                 # until released
        client = EvmClient(proxy.url)

A fault applies to each HTTP request that has a call of its method in it (a batch is one request), as often as it says. Faults
before the node mean that it never heard of the request; faults after it, that it did and the client does not know.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support import connections

ALWAYS = 1_000_000_000
_LARGEST_HEAD = 65_536


class Moment(Enum):
    """When a fault happens, seen from the node."""

    BEFORE = auto()
    AFTER = auto()


@dataclass
class Fault:
    """Something that goes wrong with requests of a method (`*`: all), for the next `times` of them after `skip` others."""

    method: str
    moment: Moment = Moment.BEFORE
    times: int = 1
    skip: int = 0
    delay_seconds: float = 0
    drop: bool = False
    """The connection ends without an answer."""
    twice: bool = False
    """The node gets the request twice; the client gets the second answer."""
    error: dict[str, Any] | None = None
    """The calls of this method are answered with this JSON-RPC error; before the node: it never hears of them."""
    status: int | None = None
    """The whole request is answered with this HTTP status and no JSON."""
    body: bytes | None = None
    """The whole request is answered with these bytes, as if they were JSON; the node hears nothing of it."""
    act: Callable[[], None] | None = None
    """What else happens at that moment: a process is killed, say."""
    held: asyncio.Event | None = None
    """The request waits here until the event is set."""
    behind_blocks: int = 0
    """Answers are as they were so many blocks ago."""
    answer: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] | None = None
    """Changes each answer: given the call and the answer, returns the answer."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it happened for the first time."""

    def release(self) -> None:
        """Let what is held go on, and hold nothing more."""
        self.times = 0
        if self.held is not None:
            self.held.set()

    def stop(self) -> None:
        """Let it happen no more."""
        self.times = 0


def delay(method: str, seconds: float, *, times: int = 1) -> Fault:
    """The request reaches the node late."""
    return Fault(method, delay_seconds=seconds, times=times)


def drop_before(method: str, *, times: int = 1, skip: int = 0) -> Fault:
    """The request never reaches the node, and the connection breaks."""
    return Fault(method, drop=True, times=times, skip=skip)


def lose_answer(method: str, *, times: int = 1, skip: int = 0) -> Fault:
    """The node does what it is asked, and the connection breaks before its answer arrives."""
    return Fault(method, Moment.AFTER, drop=True, times=times, skip=skip)


def duplicate(method: str, *, times: int = 1) -> Fault:
    """The node gets the request twice."""
    return Fault(method, twice=True, times=times)


def answer_error(method: str, code: int, message: str, *, times: int = 1, data: str | None = None) -> Fault:
    """The node is not asked; the client is told of an error."""
    body = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return Fault(method, error=body, times=times)


def answer_error_after(method: str, code: int, message: str, *, times: int = 1) -> Fault:
    """The node does what it is asked, and the client is told of an error all the same."""
    return Fault(method, Moment.AFTER, error={"code": code, "message": message}, times=times)


def http_status(method: str, status: int, *, times: int = 1) -> Fault:
    """A gateway in front of the node answers instead."""
    return Fault(method, status=status, times=times)


def garbage(method: str, body: bytes, *, times: int = 1) -> Fault:
    """Something that is no JSON-RPC answers instead of the node."""
    return Fault(method, body=body, times=times)


def answer_wrongly(method: str, answer: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]], *, times: int = 1) -> Fault:
    """The node does what it is asked, and what it answers is changed on the way."""
    return Fault(method, Moment.AFTER, answer=answer, times=times)


def hold(method: str, *, skip: int = 0) -> Fault:
    """The world stops before the node hears of the request: `reached` tells that it did, `release()` lets it go on."""
    return Fault(method, held=asyncio.Event(), times=ALWAYS, skip=skip)


def hold_answer(method: str, *, skip: int = 0) -> Fault:
    """The world stops after the node did what it was asked, before the client knows."""
    return Fault(method, Moment.AFTER, held=asyncio.Event(), times=ALWAYS, skip=skip)


def older_block(blocks: int, *, times: int = ALWAYS) -> Fault:
    """The node behind the address lags: what it says of `latest`, receipts included, is as it was `blocks` blocks ago.

    The node must keep old state. What it says of `finalized` is left as it is.
    """
    return Fault("*", behind_blocks=blocks, times=times)


class _DroppedError(Exception):
    """The connection is to end without an answer."""


class RpcProxy:
    """The proxy: an HTTP server in the test's own event loop, reachable by other processes too."""

    def __init__(self, node_url: str, *, port: int = 0) -> None:
        self._node_url = node_url
        self._port = port
        self._faults: list[Fault] = []
        self._server: asyncio.Server | None = None
        self._client = httpx.AsyncClient(timeout=30)
        self._connections: set[asyncio.Task[None]] = set()
        self.calls: Counter[str] = Counter()
        """How many calls of each method came."""
        self.is_down = False
        """While set, every request is dropped before the node."""

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"http://127.0.0.1:{self._port}"

    def point_to(self, node_url: str) -> None:
        """Another node from now on."""
        self._node_url = node_url

    def add(self, fault: Fault) -> Fault:
        """Program a fault; those added first happen first."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget every fault, and let go what is held."""
        for fault in self._faults:
            fault.release()
        self._faults.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=_LARGEST_HEAD)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.clear()
        await connections.end(self._server, self._connections)
        await self._client.aclose()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            while (body := await _read_request(reader)) is not None:
                status, answer = await self._handle(body)
                head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        except (_DroppedError, ConnectionError, asyncio.IncompleteReadError, httpx.HTTPError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            if task is not None:
                self._connections.discard(task)

    async def _handle(self, body: bytes) -> tuple[int, bytes]:
        request = json.loads(body)
        calls: list[dict[str, Any]] = request if isinstance(request, list) else [request]
        self.calls.update(call["method"] for call in calls)
        if self.is_down:
            raise _DroppedError
        faults = self._due({call["method"] for call in calls})
        for fault in faults:
            if fault.status is not None:
                return fault.status, b"gateway trouble"
            if fault.body is not None:
                return 200, fault.body
        await self._wait(faults, Moment.BEFORE)
        answers = await self._ask(calls, faults)
        await self._wait(faults, Moment.AFTER)
        for fault in faults:
            answers = _changed(fault, calls, answers)
        return 200, json.dumps(answers if isinstance(request, list) else answers[0]).encode()

    def _due(self, methods: set[str]) -> list[Fault]:
        due: list[Fault] = []
        for fault in self._faults:
            if fault.times <= 0 or (fault.method != "*" and fault.method not in methods):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            due.append(fault)
            if fault.act is None:
                fault.reached.set()
        return due

    async def _wait(self, faults: list[Fault], moment: Moment) -> None:
        for fault in faults:
            if fault.moment is not moment:
                continue
            if fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            if fault.held is not None:
                await fault.held.wait()
            if fault.act is not None:
                fault.act()
                fault.reached.set()
            if fault.drop:
                raise _DroppedError

    async def _ask(self, calls: list[dict[str, Any]], faults: list[Fault]) -> list[dict[str, Any]]:
        refused = {fault.method: fault.error for fault in faults if fault.error is not None and fault.moment is Moment.BEFORE}
        asked = [call for call in calls if call["method"] not in refused and "*" not in refused]
        behind = max((fault.behind_blocks for fault in faults), default=0)
        newest = max(0, await self._head() - behind) if behind else None
        if newest is not None:
            asked = [_as_of(call, newest) for call in asked]
        answered: dict[Any, dict[str, Any]] = {}
        for _ in range(2 if any(fault.twice for fault in faults) else 1):
            if asked:
                response = await self._client.post(self._node_url, json=asked)
                answered = {answer["id"]: _unless_younger(answer, newest) for answer in response.json()}
        return [
            answered.get(call["id"])
            or {"jsonrpc": "2.0", "id": call["id"], "error": refused.get(call["method"], refused.get("*"))}
            for call in calls
        ]

    async def _head(self) -> int:
        call = {"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []}
        return int((await self._client.post(self._node_url, json=call)).json()["result"], 16)


def _concerns(fault: Fault, call: dict[str, Any]) -> bool:
    return fault.method in {"*", call["method"]}


def _as_of(call: dict[str, Any], newest: int) -> dict[str, Any]:
    """The call, with the block that a lagging node takes for the latest."""
    params = [hex(newest) if parameter == "latest" else parameter for parameter in call.get("params", [])]
    return {**call, "params": params}


def _unless_younger(answer: dict[str, Any], newest: int | None) -> dict[str, Any]:
    """The answer, without a block or a receipt that a lagging node does not have yet."""
    result = answer.get("result")
    if newest is None or not isinstance(result, dict):
        return answer
    number = result.get("blockNumber", result.get("number"))
    return {**answer, "result": None} if number is not None and int(number, 16) > newest else answer


def _changed(fault: Fault, calls: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    changed: list[dict[str, Any]] = []
    for call, answer in zip(calls, answers, strict=True):
        now = answer
        if _concerns(fault, call):
            if fault.error is not None and fault.moment is Moment.AFTER:
                now = {"jsonrpc": "2.0", "id": call["id"], "error": fault.error}
            if fault.answer is not None:
                now = fault.answer(call, now)
        changed.append(now)
    return changed


async def _read_request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
