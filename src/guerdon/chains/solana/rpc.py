"""One node of Solana over HTTP, by solana-py's provider: bounded in time, size and tries, with errors that say what is known."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

import httpx2
import msgspec
from solana.exceptions import SolanaRpcException
from solana.rpc.providers.async_http import AsyncHTTPProvider
from solders.rpc.requests import Body

from guerdon.chains.jsonrpc import count_request
from guerdon.chains.port import BadAnswerError, ChainUnavailableError, RpcError

_RETRIES: Final = 2
_BACKOFF_S: Final = 0.15
_CONNECT_S: Final = 5.0
_SHOWN_CHARACTERS: Final = 200
_WRITES: Final = frozenset({"sendTransaction", "requestAirdrop"})
_TOO_MANY: Final = 429


class _Call:
    """A request's body, as the provider takes one."""

    def __init__(self, number: int, method: str, params: Sequence[Any]) -> None:
        self.number = number
        self._body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    def to_json(self) -> str:
        """The JSON that is sent."""
        return msgspec.json.encode(self._body).decode()


class _AgainError(Exception):
    """This request got no answer, but at once: the next one may."""


class _TooLargeError(Exception):
    """The answer is larger than was agreed."""


class SolanaRpc:
    """A node's HTTP address, with its connections kept open. Use from one event loop; close it, or use it as a context.

    A question that was refused or lost at once is asked again, twice at most, as questions change nothing; one that timed out is
    not. Bytes are handed over once; on a connection that broke, solana-py hands over the same bytes again, which changes nothing.
    """

    def __init__(
        self,
        rpc_url: str,
        *,
        network: str = "unnamed",
        timeout_s: float = 10,
        max_response_bytes: int = 32_000_000,
        max_connections: int = 20,
    ) -> None:
        """`timeout_s` bounds one HTTP request, from connecting to the last byte; `network` names the node in metrics."""
        parts = urlsplit(rpc_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an RPC address begins with http:// or https://")
        # The rest of the address may hold a secret, so that only this is ever shown.
        self.host: Final = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
        self._network = network
        self._timeout_s = timeout_s
        self._max_response_bytes = max_response_bytes
        self._ids = itertools.count(1)
        self._provider = AsyncHTTPProvider(
            rpc_url, extra_headers={"Accept-Encoding": "identity", "User-Agent": "guerdon"}, timeout=timeout_s
        )
        self._unused: httpx2.AsyncClient | None = self._provider.session
        limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=25)
        self._provider.session = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            follow_redirects=False,
            # A proxy of the environment has no business with a node on this machine.
            trust_env=parts.hostname not in {"localhost", "127.0.0.1", "::1"},
            limits=limits,
            # Certificates are loaded only where they are checked.
            verify=parts.scheme == "https",
            event_hooks={"response": [self._limit]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._provider.session.aclose()
        if self._unused is not None:
            await self._unused.aclose()
            self._unused = None

    async def ask(self, method: str, *params: Any) -> Any:
        """The answer of one call. Raises `ChainUnavailableError`; a refusal is one too: it is no knowledge (SAFETY S35)."""
        try:
            return await self.call(method, *params)
        except RpcError as refusal:
            raise ChainUnavailableError(f"The chain's node at {self.host} refused: {refusal.message}.") from refusal

    async def call(self, method: str, *params: Any) -> Any:
        """The answer of one call. Raises `ChainUnavailableError`, or `RpcError` if the node refuses."""
        for attempt in range(0 if method in _WRITES else _RETRIES):
            try:
                return await self._once(method, params)
            except _AgainError:
                await asyncio.sleep(_BACKOFF_S * 2**attempt)
        try:
            return await self._once(method, params)
        except _AgainError as error:
            raise self._unavailable(str(error)) from error.__cause__

    async def _once(self, method: str, params: Sequence[Any]) -> Any:
        began, outcome = time.perf_counter(), "broken_off"
        try:
            answer = self._result(await self._exchange(_Call(next(self._ids), method, params)))
            outcome = "answered"
        except RpcError:
            outcome = "answered"
            raise
        except _AgainError:
            outcome = "refused"
            raise
        except BadAnswerError:
            outcome = "malformed"
            raise
        except ChainUnavailableError:
            outcome = "timed_out"
            raise
        else:
            return answer
        finally:
            count_request(self._network, outcome, time.perf_counter() - began)

    async def _exchange(self, call: _Call) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._provider.make_request_unparsed(cast("Body", call))
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from error
        except _TooLargeError:
            raise self._bad(f"more than {self._max_response_bytes} bytes") from None
        except httpx2.HTTPStatusError as error:
            raise _AgainError(f"answers with status {error.response.status_code}") from None
        except httpx2.TimeoutException as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.StreamError, SolanaRpcException) as error:
            # The library's words may hold the address.
            raise _AgainError(f"can't be reached ({type(error).__name__})") from None
        try:
            answer = msgspec.json.decode(said)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise self._bad(f"no JSON ({said[:_SHOWN_CHARACTERS].strip() or 'nothing'})") from error
        if not isinstance(answer, dict) or answer.get("id") != call.number:  # pyright: ignore[reportUnknownMemberType]
            raise self._bad("another id than was asked for")
        return cast("dict[str, Any]", answer)

    def _result(self, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is not None:
            if not isinstance(error, dict):
                raise self._bad("an error without code and message")
            told = cast("dict[str, Any]", error)
            code, message = told.get("code"), told.get("message")
            if not isinstance(code, int) or not isinstance(message, str):
                raise self._bad("an error without code and message")
            if code == _TOO_MANY:
                raise _AgainError(f"refuses for now: {message}")
            raise RpcError(code, message, told.get("data"))
        if "result" not in answer:
            raise self._bad("neither a result nor an error")
        return answer["result"]

    async def _limit(self, response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            # It was asked for plainly: nobody knows how large this becomes.
            raise _TooLargeError
        response.stream = _Limited(response.stream, self._max_response_bytes)

    def _unavailable(self, what: str) -> ChainUnavailableError:
        return ChainUnavailableError(f"The chain's node at {self.host} {what}.")

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"The chain's node at {self.host} answered with {what}.")


class _Limited(httpx2.AsyncByteStream):
    """An answer's bytes, up to a bound."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._left = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise _TooLargeError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
