"""For commands that have chain transactions sent: an engine for as long as they wait, beside any that a worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from guerdon.app import Runtime


@asynccontextmanager
async def engine_running(runtime: Runtime, network: str) -> AsyncGenerator[None]:
    """Sign and send for a network inside the block, with whatever keys no worker has.

    Raises what stops the engine, and `StartupError` where the settings do not name the installation.
    """
    from guerdon.app import sending_deployment
    from guerdon.txmanager import service_keys
    from guerdon.txmanager.engines import engine_of

    async with runtime.database.platform() as session:
        known = await service_keys.network(session, network)
    engine = engine_of(
        runtime.chain, network, known.namespace, database=runtime.database, secrets=runtime.secrets,
        deployment_id=await sending_deployment(runtime),
    )  # fmt: skip
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def tell(message: str) -> None:
    """Progress, on stderr: stdout is for the result."""
    typer.echo(message, err=True)
