"""The part of asyncpg that Guerdon uses, typed: the package ships no types of its own.

For hot statements and for what has to travel by the simple protocol; everything else goes through `kit/database.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

Row = Mapping[str, Any]
"""A record: by name or by position."""

Listener = Callable[["RawConnection", int, str, str], object]
"""Called with the connection, the sender's process id, the channel and the payload."""


class RawConnection(Protocol):
    """A PostgreSQL connection of asyncpg. Without arguments `execute` uses the simple protocol, which prepares nothing."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str: ...
    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None: ...
    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> list[Row]: ...
    async def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> Row | None: ...
    async def fetchval(self, query: str, *args: object, column: int = 0, timeout: float | None = None) -> Any: ...
    async def add_listener(self, channel: str, callback: Listener) -> None: ...
    async def remove_listener(self, channel: str, callback: Listener) -> None: ...
    async def close(self, *, timeout: float | None = None) -> None: ...
    def add_termination_listener(self, callback: Callable[[RawConnection], object]) -> None: ...
    def is_in_transaction(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...


class RawPool(Protocol):
    """A pool of such connections."""

    def acquire(self, *, timeout: float | None = None) -> AbstractAsyncContextManager[RawConnection]: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...
    def get_size(self) -> int: ...
    def get_idle_size(self) -> int: ...
    def get_max_size(self) -> int: ...


async def connect(dsn: str, *, server_settings: Mapping[str, str] | None = None, timeout: float = 10) -> RawConnection:
    """Open a connection; `timeout` in seconds."""
    connection = await asyncpg.connect(dsn, server_settings=dict(server_settings or {}), timeout=timeout)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportArgumentType]
    return cast("RawConnection", connection)


async def create_pool(
    dsn: str, *, minimum: int, maximum: int, server_settings: Mapping[str, str], timeout: float = 10
) -> RawPool:
    """Open a pool that does not send a reset query when a connection comes back: whoever takes one leaves nothing behind."""

    async def no_leftovers(connection: RawConnection) -> None:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")

    pool = await asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportGeneralTypeIssues]
        dsn,
        min_size=minimum,
        max_size=maximum,
        server_settings=dict(server_settings),
        timeout=timeout,
        max_inactive_connection_lifetime=0,
        reset=no_leftovers,
    )
    return cast("RawPool", pool)


def is_connection_failure(error: BaseException) -> bool:
    """Did the connection fail, and not what was asked of it?

    asyncpg's own complaints about a closed connection are `InterfaceError`, and `InternalClientError` where the server's
    last word has come and its end has not been seen yet; of the server's, class 08 is the connection, 57 a shutdown, 53 a
    lack of resources such as connections.
    """
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and state[:2] in {"08", "57", "53"} and state != "57014"
