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
    from guerdon.chains.networks import SOLANA
    from guerdon.txmanager import service_keys
    from guerdon.txmanager.engine import KeyEngine
    from guerdon.txmanager.solana.engine import SolanaEngine

    async with runtime.database.platform() as session:
        known = await service_keys.network(session, network)
    kind = SolanaEngine if known.namespace == SOLANA else KeyEngine
    engine = kind(
        database=runtime.database,
        rpc=runtime.chain.unproven(network),
        secrets=runtime.secrets,
        network=network,
        deployment_id=await sending_deployment(runtime),
    )
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
