"""How a server of the tests ends: nobody is left who was being accepted just then."""

from __future__ import annotations

import asyncio


async def end(server: asyncio.Server | None, connections: set[asyncio.Task[None]]) -> None:
    """Stop listening, and end every connection; each task takes itself out of the set."""
    if server is not None:
        server.close()
    # Who was being accepted just now is let in by the next turns of the loop.
    await asyncio.sleep(0.05)
    while tasks := list(connections):
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # aborted transports let go of their sockets in the next turn
