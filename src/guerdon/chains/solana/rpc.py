"""One node of Solana over HTTP, by solana-py's provider. How often is asked, and what is believed, is in `chains/jsonrpc.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx2
from solana.exceptions import SolanaRpcException
from solana.rpc.providers.async_http import AsyncHTTPProvider
from solders.rpc.requests import Body

from guerdon.chains.jsonrpc import AgainError, Call, JsonRpc
from guerdon.chains.port import ChainUnavailableError, RpcError

_CONNECT_S: Final = 5.0
_WRITES: Final = frozenset({"sendTransaction", "requestAirdrop"})


class _Said:
    """A request's body, as the provider takes one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def to_json(self) -> str:
        """The JSON that is sent."""
        return self._content.decode()


class _TooLargeError(Exception):
    """The answer is larger than was agreed."""


class SolanaRpc(JsonRpc):
    """A node's HTTP address, with its connections kept open.

    Bytes are handed over once; on a connection that broke, solana-py hands over the same bytes again, which changes nothing.
    """

    def _open(self, rpc_url: str, max_connections: int) -> None:
        self._provider = AsyncHTTPProvider(
            rpc_url, extra_headers={"Accept-Encoding": "identity", "User-Agent": "guerdon"}, timeout=self._timeout_s
        )
        self._unused: httpx2.AsyncClient | None = self._provider.session
        parts = urlsplit(rpc_url)
        self._provider.session = httpx2.AsyncClient(
            timeout=httpx2.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s)),
            follow_redirects=False,
            # A proxy of the environment has no business with a node on this machine.
            trust_env=parts.hostname not in {"localhost", "127.0.0.1", "::1"},
            limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=25),
            # Certificates are loaded only where they are checked.
            verify=parts.scheme == "https",
            event_hooks={"response": [self._limit]},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._provider.session.aclose()
        if self._unused is not None:
            await self._unused.aclose()
            self._unused = None

    async def known(self, *calls: Call) -> list[Any]:
        """The answers of all calls, which one node gave at one time. Raises `ChainUnavailableError`; a refusal of any of them is
        one too: it is no knowledge (SAFETY S35).
        """
        answers = await self.batch(calls)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise ChainUnavailableError(f"The chain's node at {self.host} refused: {answer.message}.") from answer
        return answers

    def _is_read(self, method: str) -> bool:
        return method not in _WRITES

    async def _post(self, content: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._provider.make_request_unparsed(cast("Body", _Said(content)))
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from error
        except _TooLargeError:
            raise self._bad(f"more than {self._max_response_bytes} bytes") from None
        except httpx2.HTTPStatusError as error:
            raise AgainError(f"answers with status {error.response.status_code}") from None
        except httpx2.TimeoutException as error:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.StreamError, SolanaRpcException) as error:
            # The library's words may hold the address.
            raise AgainError(f"can't be reached ({type(error).__name__})") from None
        return said.encode()

    async def _limit(self, response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            # It was asked for plainly: nobody knows how large this becomes.
            raise _TooLargeError
        response.stream = _Limited(response.stream, self._max_response_bytes)


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
