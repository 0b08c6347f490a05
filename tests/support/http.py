"""An application behind the server's own protocol, on a real socket, in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from guerdon.kit.direct_http import Routes, direct_protocol


@asynccontextmanager
async def served(app: Any, routes: Routes, *, peer: str | None = None, **options: Any) -> AsyncGenerator[str]:
    """The address of a server with this application and these direct routes, to which everybody comes from `peer`."""
    async with listening(app, routes, peer=peer, **options) as (address, _):
        yield address


@asynccontextmanager
async def listening(
    app: Any, routes: Routes, *, peer: str | None = None, **options: Any
) -> AsyncGenerator[tuple[str, ServerState]]:
    """The same, with what the server knows of its connections."""
    config = uvicorn.Config(app, ws="none", lifespan="off", access_log=False, log_config=None, server_header=False, **options)
    config.load()
    state = ServerState()
    connection = direct_protocol(routes)

    class Connection(connection):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if peer is not None:
                self.client = (peer, 1)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0, backlog=config.backlog)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}", state
    finally:
        server.close()
        for open_connection in list(state.connections):
            open_connection.shutdown()
        while state.connections or state.tasks:
            await asyncio.sleep(0.01)
