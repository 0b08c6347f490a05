"""JSON-RPC over HTTP to one node: batches, limits, and errors that say what is known. Nothing here knows what is asked.

An answer is believed only if it is whole: one element for each call, with its id, a result or an error.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import msgspec
from prometheus_client import Counter, Histogram

from guerdon.chains.port import BadAnswerError, ChainUnavailableError, RpcError

Call = tuple[str, Sequence[Any]]
"""A method and its parameters."""

_OK: Final = 200
_TOO_MANY: Final = 429
_RETRIES: Final = 2
_BACKOFF_S: Final = 0.15
_CONNECT_S: Final = 5.0
_SHOWN_CHARACTERS: Final = 200
_READS: Final = ("eth_", "net_", "web3_")
_WRITES: Final = frozenset({"eth_sendRawTransaction", "eth_sendTransaction"})

_requests = Counter("guerdon_rpc_requests", "Requests to a chain's node, by what came of them", ["network", "outcome"])
_seconds = Histogram(
    "guerdon_rpc_seconds",
    "Time to a whole answer of a chain's node.",
    ["network"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class AgainError(Exception):
    """This request got no answer, but at once: the next one may."""


class JsonRpc:
    """A node's HTTP address, with its connections kept open. Use from one event loop; close it, or use it as a context.

    A question that was refused or lost at once is asked again, twice at most, as questions change nothing; one that timed out is
    not, and bytes are never sent again here.
    """

    def __init__(
        self,
        rpc_url: str,
        *,
        network: str = "unnamed",
        timeout_s: float = 10,
        max_response_bytes: int = 32_000_000,
        max_batch: int = 100,
        max_connections: int = 20,
    ) -> None:
        """`timeout_s` bounds one HTTP request, from connecting to the last byte; `max_batch` the calls in it.

        `network` names the node in metrics: its address may hold a secret.
        """
        parts = urlsplit(rpc_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an RPC address begins with http:// or https://")
        # The rest of the address may hold a secret, so that only this is ever shown.
        self.host: Final = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
        self._network = network
        self._timeout_s = timeout_s
        self._max_response_bytes = max_response_bytes
        self._max_batch = max_batch
        self._ids = itertools.count(1)
        self._open(rpc_url, max_connections)

    def _open(self, rpc_url: str, max_connections: int) -> None:
        """Get ready to `_post`."""
        parts = urlsplit(rpc_url)
        self._url = rpc_url
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s)),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=30),
            follow_redirects=False,
            # Certificates are loaded only where they are checked; it takes longer than many a question.
            verify=parts.scheme == "https",
            headers={"Content-Type": "application/json", "User-Agent": "guerdon"},
            # A proxy of the environment has no business with a node on this machine.
            trust_env=parts.hostname not in {"localhost", "127.0.0.1", "::1"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def batch(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        """The answers of all calls, in their order; what the node refused is an `RpcError` in its place.

        One HTTP request for up to `max_batch` calls, so that one node answers at one time; beyond that several, one after
        the other. Raises `ChainUnavailableError` (`BadAnswerError`) if a request gets no whole answer: then any part of what
        was asked may have been done.
        """
        answers: list[Any | RpcError] = []
        for start in range(0, len(calls), self._max_batch):
            answers.extend(await self._ask(calls[start : start + self._max_batch]))
        return answers

    async def ask(self, method: str, *params: Any) -> Any:
        """The answer of one call. Raises `ChainUnavailableError`, or `RpcError` if the node refuses."""
        (answer,) = await self._ask([(method, params)])
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def _ask(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        retries = _RETRIES if all(self._is_read(method) for method, _ in calls) else 0
        for attempt in range(retries):
            try:
                return await self._ask_once(calls)
            except AgainError:
                await asyncio.sleep(_BACKOFF_S * 2**attempt)
        try:
            return await self._ask_once(calls)
        except AgainError as error:
            raise self._unavailable(str(error)) from error.__cause__

    async def _ask_once(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        began, outcome = time.perf_counter(), "broken_off"
        try:
            answers = await self._exchange(calls)
            outcome = "answered"
        except AgainError:
            outcome = "refused"
            raise
        except BadAnswerError:
            outcome = "malformed"
            raise
        except ChainUnavailableError:
            outcome = "timed_out"
            raise
        else:
            return answers
        finally:
            _requests.labels(self._network, outcome).inc()
            if outcome == "answered":
                _seconds.labels(self._network).observe(time.perf_counter() - began)

    async def _exchange(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        ids = [next(self._ids) for _ in calls]
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        # Not every node takes a batch of one.
        body = await self._post(msgspec.json.encode(requests if len(requests) > 1 else requests[0]))
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise self._bad(f"no JSON ({_shown(body)})") from error
        if len(requests) == 1:
            answer = [answer]
        elif isinstance(answer, dict):
            # The whole batch was refused: too large, or too many requests.
            refusal = _refusal(answer.get("error"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            raise AgainError(f"refuses a batch of {len(requests)}: {refusal or _shown(body)}")
        return self._sorted(answer, ids)

    def _sorted(self, answer: Any, ids: Sequence[int]) -> list[Any | RpcError]:
        if not isinstance(answer, list):
            raise self._bad("no list for a batch")
        found: dict[int, Any] = {}
        for element in answer:  # pyright: ignore[reportUnknownVariableType]
            number: Any = element.get("id") if isinstance(element, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if not isinstance(number, int) or number in found:
                raise self._bad("an element without an id of its own")
            found[number] = element
        if found.keys() != set(ids):
            raise self._bad("other ids than were asked for")
        return [self._result(found[number]) for number in ids]

    def _result(self, element: dict[str, Any]) -> Any | RpcError:
        error = element.get("error")
        if error is not None:
            refusal = _refusal(error)
            if refusal is None:
                raise self._bad("an error without code and message")
            if refusal.code == _TOO_MANY:
                raise AgainError(f"refuses for now: {refusal.message}")
            return refusal
        if "result" not in element:
            raise self._bad("neither a result nor an error")
        return element["result"]

    async def _post(self, content: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s), self._client.stream("POST", self._url, content=content) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > self._max_response_bytes:
                        raise self._bad(f"more than {self._max_response_bytes} bytes")
                if response.status_code != _OK:
                    raise AgainError(f"answers with status {response.status_code}: {_shown(bytes(body))}")
                return bytes(body)
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            # The library's words may hold the address.
            raise AgainError(f"can't be reached ({type(error).__name__})") from None

    def _is_read(self, method: str) -> bool:
        """May it be asked twice?"""
        return method.startswith(_READS) and method not in _WRITES

    def _unavailable(self, what: str) -> ChainUnavailableError:
        return ChainUnavailableError(f"The chain's node at {self.host} {what}.")

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"The chain's node at {self.host} answered with {what}.")


def _refusal(error: Any) -> RpcError | None:
    if not isinstance(error, dict):
        return None
    code: Any = error.get("code")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    message: Any = error.get("message")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(code, int) or not isinstance(message, str):
        return None
    return RpcError(code, message, error.get("data"))  # pyright: ignore[reportUnknownMemberType]


def _shown(body: bytes) -> str:
    return body[:_SHOWN_CHARACTERS].decode("utf-8", errors="replace").strip() or "nothing"
